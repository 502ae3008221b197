"""Learned values, regimes and anomalies are the same with other vector instructions of the processor."""

import os
import subprocess
import sys

import pytest

SETTINGS: tuple[dict[str, str], ...] = ({}, {"NPY_DISABLE_CPU_FEATURES": "X86_V3", "OPENBLAS_CORETYPE": "Nehalem"})
"""Of the environment: the processor as it is, and as one without AVX2."""


@pytest.mark.slow
def test_readings_are_the_same_on_a_processor_without_avx2() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.processor"], env=os.environ | each, stdout=subprocess.PIPE, text=True
        )
        for each in SETTINGS
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    here, other = (dict(line.split() for line in output.splitlines()) for output in outputs)
    if here.pop("unprotected") == other.pop("unprotected"):
        pytest.skip("this processor or numpy has no AVX2 to be turned off, so that nothing would differ")
    assert set(here) == {"learned", "regimes", "anomalies"}
    assert here == other
