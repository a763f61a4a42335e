import pytest
import torch
from tiny import tiny_bridge

from role_lens import RoleLensError
from role_lens._run.budget import Budget, in_batches, token_budget


def test_rows():
    assert Budget(100).rows(30) == 3
    assert Budget(100).rows(300) == 1


def test_a_wider_model_gets_fewer_tokens_on_a_cpu(llama):
    # 6 MiB over 48 float32 activations a token would be far above the ceiling.
    assert token_budget(llama).tokens == 4096
    wide = tiny_bridge("llama", intermediate_size=4096)
    assert token_budget(wide).tokens == 6 * 2**20 // (4 * 4096)
    assert token_budget(llama, 77).tokens == 77
    with pytest.raises(RoleLensError, match="max_tokens must be at least 1"):
        token_budget(llama, 0)


def test_a_batch_that_does_not_fit_is_repeated_smaller(llama):
    sequences = [[1] * n for n in (8, 8, 8, 8, 3, 3)]
    tried = []

    def run(batch):
        tried.append(batch.tokens.shape)
        if batch.tokens.numel() > 16:
            raise torch.OutOfMemoryError
        return batch.index

    budget = Budget(40)
    results = [result for _, result in in_batches(llama, sequences, budget, run)]
    assert [tuple(shape) for shape in tried] == [(5, 8), (2, 8), (2, 8), (2, 3)]
    assert sorted(i for index in results for i in index) == list(range(6))
    assert budget.tokens == 20


def test_a_single_row_that_does_not_fit_is_an_error(llama):
    def run(batch):
        raise torch.OutOfMemoryError

    with pytest.raises(RoleLensError, match="out of GPU memory with a single sequence"):
        list(in_batches(llama, [[1, 2], [3]], Budget(10), run))
