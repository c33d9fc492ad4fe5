// The rules for the scripts of the report page; `launch/lint_js.sh` runs them.

import { createRequire } from "node:module";

// The linter is installed in a cache, where `import` does not look.
const require = createRequire(`${process.env.ESLINT_FOLDER}/`);
const js = require("@eslint/js");
const globals = require("globals");

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: "latest", sourceType: "module", globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
