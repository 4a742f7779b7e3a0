"""Live Keras models on other backends, in processes of their own: a process has one Keras, and that one backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def done(backend):
    program = Path(__file__).with_name("keras_backends.py")
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, program, backend], capture_output=True, text=True, env=quiet, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def test_keras_models_on_jax_are_explained():
    assert "all well" in done("jax")


@pytest.mark.matrix
def test_keras_models_on_tensorflow_are_explained():
    assert "all well" in done("tensorflow")
