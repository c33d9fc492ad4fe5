"""A W&B-compatible server on loopback, for tests with an unmodified `wandb` client.

It answers what the tests need and no more. Where it is not known what the hosted service does, this
server chooses: content is compared with all versions of a collection, and aliases move to the
version that has it already; the newest version is `latest`; a file is uploaded once per collection.
It refuses to commit an artifact that lacks a file or refers to nothing.
"""
