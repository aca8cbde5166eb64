"""Checks exported Core ML files with coremltools, which has Apple's own reader of packages and weights inside.

usage: verify.py FOLDER

The folder is one that `majordomo-lab core-ml --write FOLDER` made. Each file is loaded and validated, written again, and
evaluated. Written again, it must have the same bytes but for the two fields in which coremltools names itself: the model's
metadata and the program's build information. Evaluated, it must have the scores of the kernels. Core ML itself exists on macOS only
and does not run here. Prints a line for each file, and ends with 1 where one fails.
"""

import contextlib
import io
import json
import logging
import pathlib
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
with contextlib.redirect_stderr(io.StringIO()):
    # It reports that the parts for macOS are missing.
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.frontend.milproto.load import load as load_program
    from coremltools.libmodelpackage import ModelPackage
    from coremltools.proto import Model_pb2

import numpy as np

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
# The largest difference of a score, in parts of the largest score: sums in another order, and numbers of 16 bits.
BOUNDS = {"single": 2e-6, "half": 2e-3}


def bytes_of(spec):
    """The bytes with the entries of maps in order; coremltools saves them in any order."""
    return spec.SerializeToString(deterministic=True)


def anonymous(spec):
    """The model without the two fields in which a writer names itself."""
    copy = Model_pb2.Model()
    copy.CopyFrom(spec)
    copy.description.ClearField("metadata")
    copy.mlProgram.attributes.pop("buildInfo", None)
    return bytes_of(copy)


def check_package(path, folder):
    """Returns the package's specification and program."""
    assert ModelPackage.isValid(str(path)), "the package is not valid"
    root = pathlib.Path(ModelPackage(str(path)).getRootModel().path())
    assert root.resolve() == (path / MODEL).resolve(), f"the package's model is {root}"
    written = (path / MODEL).read_bytes()
    spec = ct.models.utils.load_spec(str(path))
    assert bytes_of(spec) == written, "the model has other bytes when it is serialised"

    # Loaded and saved: nothing is lost, metadata included.
    saved = folder / "saved.mlpackage"
    ct.models.MLModel(str(path), skip_model_load=True).save(str(saved))
    assert bytes_of(ct.models.utils.load_spec(str(saved))) == written, "the model differs when it is saved"
    weights = (path / WEIGHTS).read_bytes()
    assert (saved / WEIGHTS).read_bytes() == weights, "the weights have other bytes when they are saved"

    # Read as a program, constants by Apple's reader, and exported from that.
    version = spec.specificationVersion
    program = load_program(spec, specification_version=version, file_weights_dir=str((path / WEIGHTS).parent))
    with contextlib.redirect_stderr(io.StringIO()):
        again = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target={6: ct.target.iOS15, 7: ct.target.iOS16}[version],
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
            pass_pipeline=ct.PassPipeline.EMPTY,
        )
    exported = folder / "exported.mlpackage"
    again.save(str(exported))
    assert (exported / WEIGHTS).read_bytes() == weights, "the weights have other bytes when they are exported"
    ours, theirs = anonymous(spec), anonymous(ct.models.utils.load_spec(str(exported)))
    assert ours == theirs, "the model has other bytes when it is exported"
    return program


def evaluate_program(program, units):
    """The scores of a program, operation by operation, by coremltools' own evaluation of constants."""
    main = program.functions["main"]
    (name,) = main.inputs
    scores = []

    @mb.program(input_specs=[], opset_version=main.opset_version)
    def _rebuilt():
        known = {name: mb.const(val=units)}
        for operation in main.operations:
            output = operation.outputs[0]
            if operation.op_type == "const":
                known[output.name] = operation.val.val
                continue
            inputs = {key: known[value.name] for key, value in operation.inputs.items()}
            known[output.name] = getattr(mb, operation.op_type)(**inputs)
        scores.append(known[main.outputs[0].name].val)
        return mb.const(val=0.0)

    return scores[0]


def check_network(path, folder):
    written = path.read_bytes()
    spec = ct.models.utils.load_spec(str(path))
    assert bytes_of(spec) == written, "the model has other bytes when it is serialised"
    saved = folder / "saved.mlmodel"
    ct.models.MLModel(str(path), skip_model_load=True).save(str(saved))
    assert bytes_of(ct.models.utils.load_spec(str(saved))) == written, "the model differs when it is saved"
    return spec


def evaluate_network(spec, units):
    """The scores of a network by the definitions of its layers."""
    known = {spec.description.input[0].name: units}
    for layer in spec.neuralNetwork.layers:
        kind = layer.WhichOneof("layer")
        inputs = [known[name] for name in layer.input]
        if kind == "loadConstantND":
            values = np.array(layer.loadConstantND.data.floatValue, np.float32)
            result = values.reshape(tuple(layer.loadConstantND.shape))
        elif kind == "addBroadcastable":
            result = inputs[0] + inputs[1]
        elif kind == "activation" and layer.activation.WhichOneof("NonlinearityType") == "ReLU":
            result = np.maximum(inputs[0], 0)
        elif kind == "innerProduct":
            product = layer.innerProduct
            matrix = np.array(product.weights.floatValue, np.float32)
            matrix = matrix.reshape(product.outputChannels, product.inputChannels)
            result = inputs[0] @ matrix.T + np.array(product.bias.floatValue, np.float32)
        else:
            raise AssertionError(f"a layer of kind {kind}")
        known[layer.output[0]] = result
    return known[spec.description.output[0].name]


def check(folder, case):
    """Returns the largest difference of a score, in parts of the largest."""
    path = folder / case["file"]
    units = np.fromfile(folder / case["units"], "<f4").reshape(-1, case["n_hidden"])
    expected = np.fromfile(folder / case["scores"], "<f4").reshape(-1, case["n_outputs"])
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        if path.suffix == ".mlpackage":
            model, evaluate = check_package(path, temporary), evaluate_program
        else:
            model, evaluate = check_network(path, temporary), evaluate_network
        # The first, a middle and the last call: each call of some files has one row.
        calls = len(units) // case["batch"]
        largest = 0.0
        for call in sorted({0, calls // 2, calls - 1}):
            rows = slice(call * case["batch"], (call + 1) * case["batch"])
            scores = np.asarray(evaluate(model, units[rows]), np.float32)
            assert scores.shape == expected[rows].shape, f"scores of shape {scores.shape}"
            largest = max(largest, float(np.abs(scores - expected[rows]).max()))
    difference = largest / max(1.0, float(np.abs(expected).max()))
    bound = BOUNDS[case["precision"]]
    assert difference <= bound, f"a score differs by {difference:.1e}, allowed are {bound:.0e}"
    return difference


def main():
    folder = pathlib.Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    assert cases, "there is no file to check"
    failed = 0
    for case in cases:
        try:
            print(f"{case['file']}: the same bytes, largest difference {check(folder, case):.1e}")
        except Exception as error:  # every file is reported
            failed += 1
            print(f"{case['file']}: FAILED: {type(error).__name__}: {error}")
    print(f"test result: coremltools {ct.__version__}: {len(cases) - failed} passed; {failed} failed")
    sys.exit(1 if failed else 0)


main()
