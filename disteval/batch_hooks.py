"""What a subclass of `DistEvalCallback` may run on each batch, on every replica."""

from __future__ import annotations

from typing import Any

from disteval.inference.functions import BatchFunctions


class BatchHooks:
    """The hooks that run where the data is: `infer` makes outputs, `postprocess` shortens them.

    Both are traced into the graph on every replica; with `eager=True`, they are plain Python.
    """

    def infer(self, model: Any, batch: Any) -> Any:
        """Returns the outputs of a batch.

        By default, `model.predict_step(batch)`. The metrics of the validation data are those of
        `model.test_step`, whatever is returned here.

        What it computes must not depend on other samples of the batch, and must not change the
        model. Random numbers belong to a sample with `disteval.sample_seeds`. Other models must
        have equal weights on every rank.

        With `eager=True`, tensors, NumPy arrays or lists of strings may be returned, such as the
        texts of `model.generate(prompts)`.

        Args:
            model: The model, with the weights and the state of the chief.
            batch: A batch of the data, such as `(x, y)`.

        Returns:
            A nest of tensors, dense or ragged, with one row for each sample.

        Examples:
            Test-time augmentation:

            ```python
            def infer(self, model, batch):
                images = batch[0]
                flipped = tf.reverse(images, axis=[2])
                return (model(images, training=False) + model(flipped, training=False)) / 2
            ```

            Two models:

            ```python
            def infer(self, model, batch):
                models = {"student": model, "teacher": self.teacher}
                return {name: each(batch[0], training=False) for name, each in models.items()}
            ```

            The embeddings of an inner layer, beside the predictions:

            ```python
            def infer(self, model, batch):
                inner = model.get_layer("embedding").output
                both = keras.Model(model.inputs, [inner, model.outputs[0]])
                embedding, outputs = both(batch[0], training=False)
                return {"embedding": embedding, "outputs": outputs}
            ```

            Text, token by token:

            ```python
            def infer(self, model, batch):
                def append(length, tokens):
                    logits = model(tokens, training=False)[:, length - 1]
                    token = tf.argmax(logits, axis=-1, output_type=tokens.dtype)
                    rows = tf.range(tf.shape(tokens)[0])
                    places = tf.stack([rows, tf.fill(tf.shape(rows), length)], axis=1)
                    return length + 1, tf.tensor_scatter_nd_update(tokens, places, token)

                prompts, more = batch[0], 8
                start = prompts.shape[1]
                tokens = tf.pad(prompts, [[0, 0], [0, more]])
                return tf.while_loop(lambda i, _: i < start + more, append, (start, tokens))[1]
            ```
        """
        return model.predict_step(batch)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the predictions of a batch that the chief receives; by default, the outputs.

        Args:
            outputs: The return value of `infer` for the batch.
            batch: The batch itself, such as `(x, y)`.

        Returns:
            A nest of tensors, dense or ragged, with one row for each sample.
        """
        return outputs

    def batch_functions(self, *, eager: bool) -> BatchFunctions:
        """Returns both hooks; without `infer` if it is not overridden.

        Raises:
            DistEvalError: A hook takes other arguments.
        """
        is_default = getattr(self.infer, "__func__", None) is BatchHooks.infer
        return BatchFunctions(self.postprocess, None if is_default else self.infer, eager)
