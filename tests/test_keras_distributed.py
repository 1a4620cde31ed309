"""Data parallel training: two worker processes on this machine give what one process gives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from support_keras import fk

WORKER = """
import json, sys
from ferroconv.keras import distributed

distributed.strategy()
import keras
import numpy as np
import tensorflow as tf
import ferroconv.keras as fk

rng = np.random.default_rng(0)
images, labels = rng.random((128, 28, 28, 1), np.float32), rng.integers(0, 10, 128)

def model_fn():
    keras.utils.set_random_seed(0)
    model = fk.models.lenet()
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def dataset_fn(context):
    part = tf.data.Dataset.from_tensor_slices((images, labels))
    part = part.shard(context.num_input_pipelines, context.input_pipeline_id)
    return part.batch(context.get_per_replica_batch_size(32))

seen = []
model, history = distributed.train(model_fn, dataset_fn, epochs=2, on_epoch_end=lambda epoch, means: seen.append(epoch))
assert seen == [0, 1]
refusals = {}
for method in ("fit", "evaluate"):
    try:
        getattr(model, method)(images, labels)
    except RuntimeError as error:
        refusals[method] = str(error)
if distributed.is_chief():
    model.save_weights(sys.argv[1] + "/shared.weights.h5")

alone = model_fn()
fitted = alone.fit(images, labels, batch_size=32, epochs=2, shuffle=False, verbose=0).history
apart = max(float(np.abs(a - b).max()) for a, b in zip(model.get_weights(), alone.get_weights()))
print("RESULT", json.dumps([distributed.is_chief(), history, fitted, apart, refusals]))
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(tmp_path, workers):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    processes = []
    for index in range(workers):
        environment = dict(os.environ)
        if workers > 1:
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(tmp_path)], env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    results = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=150)
            assert process.returncode == 0, err[-4000:]
            results.append(json.loads(out.partition("RESULT ")[2]))
    finally:
        for process in processes:
            process.kill()
    return results


def test_two_workers_learn_what_one_learns(tmp_path):
    results = run(tmp_path, 2)
    assert [chief for chief, *_ in results] == [True, False]
    assert results[0][1] == results[1][1], "the workers' histories differ"
    for _, history, alone, apart, refusals in results:
        np.testing.assert_allclose(history["loss"], alone["loss"], rtol=1e-5)
        np.testing.assert_allclose(history["accuracy"], alone["accuracy"], atol=1e-6)
        assert apart < 1e-5
        assert "ferroconv.keras.distributed.train" in refusals["fit"]
        assert "keras/issues/20585" in refusals["fit"]
        assert "predict" in refusals["evaluate"]
    fk.models.lenet().load_weights(tmp_path / "shared.weights.h5")


@pytest.mark.slow
def test_one_process_needs_no_cluster(tmp_path):
    ((chief, history, alone, apart, _),) = run(tmp_path, 1)
    assert chief
    np.testing.assert_allclose(history["loss"], alone["loss"], rtol=1e-5)
    assert apart < 1e-5
