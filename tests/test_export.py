import numpy as np
import pytest

from role_lens import DirectionSpec, RoleLensError
from role_lens.interop import EXPORTS, export_vectors


def test_numpy_archive(vectors, tmp_path):
    """Each direction times its coefficient, under its address."""
    specs = [DirectionSpec("poet", 1, coefficient=2.5), DirectionSpec("cook", 2, -2, "roles")]
    export_vectors(vectors, specs, tmp_path / "v.npz")
    kept = np.load(tmp_path / "v.npz")
    assert kept.files == ["2.5 x poet@1 (base, position -1)", "1 x cook@2 (roles, position -2)"]
    expected = 2.5 * vectors.direction("poet", layer=1).numpy()
    np.testing.assert_allclose(kept[kept.files[0]], expected, rtol=1e-6)


def test_refused(vectors, tmp_path):
    spec = DirectionSpec("poet", layer=1)
    with pytest.raises(RoleLensError, match=f"unknown export format 'txt': .*{EXPORTS.names[0]}"):
        export_vectors(vectors, [spec], tmp_path / "v.txt")
    with pytest.raises(RoleLensError, match="at least one direction to export, got none"):
        export_vectors(vectors, [], tmp_path / "v.npz")
    with pytest.raises(RoleLensError, match="unknown role 'king'"):
        export_vectors(vectors, [DirectionSpec("king", 1)], tmp_path / "v.npz")
    assert not list(tmp_path.iterdir())
