"""Runs models: tokens, batches, whole and partial passes, and what is read from them.

    from role_lens._run.activations import sum_activations

This folder is private. `encode_chat`, `chat_text` and `activations_at` are public under the
package's own name, `role_lens`.
"""
