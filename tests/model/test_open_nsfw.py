"""The front door: scores that are Caffe's, from every kind of picture, and the original module's names."""

import io
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import open_nsfw
import theano_cpu
from open_nsfw import PictureError, SinglePictureError, get_scorer, model_files, nsfw_score, nsfw_scores, prepare

ROOT = Path(__file__).parents[2]
IMG = ROOT / "img"

# OpenCV 4.14's Caffe importer, in float32, on Yahoo's original files (deploy.prototxt,
# resnet_50_1by2_nsfw.caffemodel); pictures prepared with Pillow 13.0.0.
CAFFE_SCORES = {
    "astronaut.png": 0.0317020,
    "camera.png": 0.0038309,
    "chelsea.png": 0.0001488,
    "coffee.jpg": 0.0129212,
    "hubble_deep_field.jpg": 0.0000033,
    "retina.jpg": 0.1761075,
    "rocket.jpg": 0.0004626,
}
# The same network in float64 (PyTorch 2.13, BatchNorm folded): OpenCV is 1.0e-6 off on retina.jpg, we are not.
FLOAT64_SCORES = {
    "astronaut.png": 0.03170221,
    "camera.png": 0.00383079,
    "chelsea.png": 0.00014880,
    "coffee.jpg": 0.01292115,
    "hubble_deep_field.jpg": 0.00000330,
    "retina.jpg": 0.17610651,
    "rocket.jpg": 0.00046263,
}
# OpenCV's scores of pictures of the scikit-image 0.26 wheel.
CAFFE_SCORES_OF_SCIKIT_IMAGE = {
    "coffee.png": 0.0129502,
    "coins.png": 0.0012488,
    "ihc.png": 0.0079508,
    "moon.png": 0.0495006,
    "page.png": 0.0014601,
    "phantom.png": 0.0200003,
    "text.png": 0.0043025,
    "no_time_for_that_tiny.gif": 0.0151710,
}


def run_python(code, **options):
    """Run a script in a process of its own, with the project importable from any directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300, **options
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


class TestScores:
    @pytest.mark.parametrize("name, score", CAFFE_SCORES.items())
    def test_scores_are_caffes(self, name, score):
        assert nsfw_score(IMG / name) == pytest.approx(score, abs=1.5e-6)

    @pytest.mark.parametrize("name, score", FLOAT64_SCORES.items())
    def test_scores_are_exact(self, name, score):
        assert nsfw_score(IMG / name) == pytest.approx(score, abs=5e-7)

    @pytest.mark.parametrize("name, score", CAFFE_SCORES_OF_SCIKIT_IMAGE.items())
    def test_scores_of_other_pictures_are_caffes(self, name, score):
        data = pytest.importorskip("skimage.data")
        assert nsfw_score(Path(data.data_dir, name)) == pytest.approx(score, abs=1e-6)

    def test_a_path_a_picture_and_pixels_score_the_same(self):
        score = nsfw_score(str(IMG / "rocket.jpg"))
        assert isinstance(score, float)
        with Image.open(IMG / "rocket.jpg") as picture:
            assert nsfw_score(picture) == score
            assert nsfw_score(np.asarray(picture)) == score

    def test_without_jpeg_the_score_is_another(self):
        pixels = open_nsfw.resize_image(IMG / "retina.jpg")
        score = get_scorer().scores(open_nsfw.crop(open_nsfw.process(pixels)))[0]
        assert abs(score - CAFFE_SCORES["retina.jpg"]) > 1e-3

    def test_a_bad_picture_is_an_error_not_a_number(self, tmp_path):
        with pytest.raises(PictureError, match="none.png: no such file"):
            nsfw_score(tmp_path / "none.png")

    @pytest.mark.parametrize("score", [nsfw_score, nsfw_scores])
    def test_a_misspelt_parameter_is_told_by_the_function_that_was_called(self, score):
        with pytest.raises(TypeError, match=rf"^{score.__name__}\(\) got an unexpected keyword argument 'precison'"):
            score("img/rocket.jpg", precison="bfloat16")

    def test_logits_are_the_scores_without_rounding_at_the_ends(self):
        x = np.stack([prepare(IMG / name) for name in ("retina.jpg", "hubble_deep_field.jpg")])
        scores, logits = get_scorer().scores(x), get_scorer().logits(x)
        np.testing.assert_allclose(1 / (1 + np.exp(-logits.astype(float))), scores, rtol=1e-5)

    @pytest.mark.parametrize("shape", [(3, 224, 224), (1, 3, 256, 256), (1, 1, 224, 224)])
    def test_other_shapes_than_the_networks_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"expected shape \(n, 3, 224, 224\), got"):
            get_scorer().scores(np.zeros(shape, np.float32))

    def test_gradients_are_those_of_finite_differences(self):
        """Along the gradient the logit rises by step * |gradient|, up to the network's curvature.

        The picture has flat parts, where maxima tie: with Theano's rule, the gradient to each of several equal
        maxima, it rises by a third less. So plain Theano gets a little noise.
        """
        x = prepare(IMG / "astronaut.png")[np.newaxis]
        if not theano_cpu.onednn_available():
            x += np.random.RandomState(0).uniform(-0.5, 0.5, x.shape).astype("float32")
        logits, gradients = get_scorer().logits_and_gradients(x)
        np.testing.assert_allclose(logits, get_scorer().logits(x), atol=1e-4)
        norm = np.linalg.norm(gradients)
        step = 0.1 * gradients / norm
        rise = (get_scorer().logits(x + step) - get_scorer().logits(x - step)) / 0.2
        assert rise[0] == pytest.approx(norm, rel=0.1)


class TestManyPictures:
    def test_scores_come_in_order_whatever_the_batch_size(self):
        paths = [IMG / name for name in CAFFE_SCORES]
        for batch_size, workers in (1, None), (3, 1), (100, 5):
            scores = list(nsfw_scores(paths, batch_size=batch_size, workers=workers))
            np.testing.assert_allclose(scores, list(CAFFE_SCORES.values()), atol=1.5e-6)

    def test_scores_are_the_same_to_the_last_bit_whatever_the_number_of_workers(self):
        paths = [*map(str, IMG.glob("*.jpg")), "none", *map(str, IMG.glob("*.png"))] * 3
        alone, *others = ([str(score) for score in nsfw_scores(paths, workers=n, on_error="return")] for n in (1, 2, 7))
        assert others == [alone, alone]

    def test_a_nan_can_take_the_place_of_a_score(self):
        first, bad = nsfw_scores([IMG / "rocket.jpg", b""], on_error="nan")
        assert first == pytest.approx(CAFFE_SCORES["rocket.jpg"], abs=1e-6) and np.isnan(bad)

    def test_pictures_are_taken_only_as_they_are_needed(self):
        taken = []

        def endless():
            for number in count():
                taken.append(number)
                yield Image.new("RGB", (64, 64), (number, number, number))

        scores = nsfw_scores(endless(), batch_size=3)
        assert taken == []
        assert 0 < next(scores) < 1 and len(taken) == 3
        assert all(0 < next(scores) < 1 for _ in range(3))
        assert len(taken) == 3 + 6, "two batches at once, and later four"

    def test_no_pictures_no_scores(self):
        assert list(nsfw_scores([])) == []

    def test_a_bad_picture_is_raised_after_the_scores_before_it(self, tmp_path):
        scores = nsfw_scores([IMG / "rocket.jpg", tmp_path / "none.png", IMG / "rocket.jpg"])
        assert next(scores) == pytest.approx(CAFFE_SCORES["rocket.jpg"], abs=1e-6)
        with pytest.raises(PictureError, match="none.png"):
            next(scores)

    def test_a_bad_picture_can_take_the_place_of_its_score(self):
        first, bad, last = nsfw_scores([IMG / "rocket.jpg", b"", IMG / "rocket.jpg"], on_error="return")
        assert isinstance(bad, PictureError)
        assert first == last == pytest.approx(CAFFE_SCORES["rocket.jpg"], abs=1e-6)

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"batch_size": 0}, "batch_size"),
            ({"batch_size": 2**31}, "batch_size"),
            ({"on_error": "skip"}, "on_error"),
            ({"workers": 0}, "workers"),
            ({"workers": 4097}, "workers"),
            ({"seconds": 0}, "seconds"),
            ({"seconds": 2 * threading.TIMEOUT_MAX}, "seconds"),
            ({"frames": "last"}, "frames"),
            ({"every": 0}, "every"),
            ({"every": float("nan")}, "every"),
        ],
    )
    def test_wrong_arguments_are_found_before_the_first_picture(self, options, match):
        with pytest.raises(ValueError, match=f"{match}: got .*, expected"):
            nsfw_scores([], **options)

    @pytest.mark.parametrize(
        "picture",
        [
            str(IMG / "rocket.jpg"),
            IMG / "rocket.jpg",
            b"GIF89a",
            io.BytesIO(b"GIF89a"),
            np.zeros((8, 8, 3), np.uint8),
            Image.new("RGB", (8, 8)),
        ],
        ids=lambda picture: type(picture).__name__,
    )
    def test_a_single_picture_is_an_error_of_its_own(self, picture):
        with pytest.raises(
            SinglePictureError, match=r"^images: got a single picture \(.*\), .* list, or call nsfw_score"
        ):
            nsfw_scores(picture)

    def test_an_array_of_pictures_is_several(self):
        assert len(list(nsfw_scores(np.zeros((3, 8, 8, 3), np.uint8)))) == 3

    def test_many_threads_may_score_at_once(self):
        names = list(CAFFE_SCORES) * 3
        scores = [None] * len(names)

        def score(i):
            scores[i] = nsfw_score(IMG / names[i])

        threads = [threading.Thread(target=score, args=(i,)) for i in range(len(names))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_allclose(scores, [CAFFE_SCORES[name] for name in names], atol=1.5e-6)


class TestHandedOn:
    """What functions take reaches those that do the work."""

    FILES = ("a.pkl", "a.prototxt")

    @pytest.fixture
    def asked(self, monkeypatch):
        asked = []
        scorer = SimpleNamespace(input_size=(224, 224), scores=lambda x: np.full(len(x), 0.25, np.float32))
        monkeypatch.setattr(open_nsfw, "get_scorer", lambda *files: asked.append(files) or scorer)
        monkeypatch.setattr(open_nsfw, "default_workers", lambda: 5)
        return asked

    @pytest.fixture
    def worked(self, asked, monkeypatch):
        """How pictures would be scored."""

        def score_frames(items, prepared, scores, **how):
            asked.append((list(items), how))
            yield from ()

        monkeypatch.setattr(open_nsfw, "score_frames", score_frames)
        return asked

    def test_of_one_picture(self, asked):
        picture = Image.new("RGB", (300, 200))
        assert nsfw_score(picture, *self.FILES, precision="bfloat16") == 0.25
        assert nsfw_score(picture, *self.FILES) == 0.25
        assert nsfw_score(picture, *self.FILES, precision="bfloat16", frames="max") == 0.25
        narrow = (*self.FILES, "bfloat16")
        assert asked == [narrow, (*self.FILES, "float32"), narrow]

    @pytest.mark.parametrize("frames", ["first", "max", "mean"])
    def test_of_views_that_resist(self, asked, frames, monkeypatch):
        seen = []
        monkeypatch.setattr(
            open_nsfw, "resisting_scores", lambda scorer, x: seen.append(x.shape) or np.full(len(x), 0.5)
        )
        assert nsfw_score(Image.new("RGB", (300, 200)), frames=frames, resist=True) == 0.5
        assert seen == [(1, 5, 3, 224, 224)]

    def test_of_many_pictures(self, worked):
        assert list(nsfw_scores(["a"], 2**31 - 1, *self.FILES, precision="bfloat16", workers=4096, seconds=1.5)) == []
        assert list(nsfw_scores(["b"], seconds=threading.TIMEOUT_MAX)) == []
        assert worked == [
            (*self.FILES, "bfloat16"),
            (["a"], dict(batch_size=2**31 - 1, workers=4096, seconds=1.5)),
            (None, None, "float32"),
            (["b"], dict(batch_size=8, workers=5, seconds=threading.TIMEOUT_MAX)),
        ]

    def test_of_frames(self, worked):
        picture = Image.new("RGB", (30, 20))
        assert list(open_nsfw.frame_scores(picture, None, *self.FILES, batch_size=1, precision="bfloat16")) == []
        assert list(open_nsfw.frame_scores(picture)) == []
        (narrow, (frames, how), plain, (_, usual)) = worked
        assert (narrow, plain) == ((*self.FILES, "bfloat16"), (None, None, "float32"))
        assert [frame.seconds for frame in frames] == [0]
        assert (how, usual) == (dict(batch_size=1, workers=5), dict(batch_size=8, workers=5))

    @pytest.mark.parametrize("options, match", [
        ({"batch_size": 0}, "batch_size: got 0"), ({"batch_size": 2**31}, "batch_size: got"),
        ({"every": 0}, "every: got 0"), ({"every": "1"}, "every: got '1'"),
    ])  # fmt: skip
    def test_frames_are_asked_for_in_numbers(self, options, match, worked):
        with pytest.raises(ValueError, match=f"^{match}.*, expected"):
            open_nsfw.frame_scores(Image.new("RGB", (30, 20)), **options)
        assert worked == []

    @pytest.mark.parametrize("frames", ["all", "last", None])
    def test_one_score_is_of_the_first_the_worst_or_all_frames(self, frames, asked):
        with pytest.raises(ValueError, match="^frames: got .*, expected 'first', 'max' or 'mean'$"):
            nsfw_score(Image.new("RGB", (30, 20)), frames=frames)
        assert asked == []


class TestKeptScorers:
    @pytest.fixture
    def made(self, monkeypatch):
        made = []
        monkeypatch.setattr("nsfw_model.scorer.Scorer", lambda *files: made.append(files) or object())
        monkeypatch.setattr(open_nsfw, "_scorers", {})
        return made

    def test_each_pair_of_files_and_each_precision_has_its_own(self, made, tmp_path):
        for name in "abc":
            (tmp_path / name).write_text(name)
        a, b, c = (tmp_path / name for name in "abc")
        ways = [(a, b, "float32"), (a, b, "bfloat16"), (a, c, "float32"), (c, b, "float32")]
        scorers = [get_scorer(*way) for way in ways]
        assert len(set(map(id, scorers))) == 4 and made == ways
        assert [get_scorer(*way) for way in ways] == scorers and len(made) == 4
        assert get_scorer(a, b) is scorers[0]

    @pytest.mark.parametrize("changed", [0, 1])
    @pytest.mark.parametrize("change", ["size", "time"])
    def test_it_is_made_anew_where_one_of_its_files_has_another_size_or_time(self, change, changed, made, tmp_path):
        files = tmp_path / "a", tmp_path / "b"
        for file in files:
            file.write_text("text")
            os.utime(file, ns=(10**18, 10**18))
        first = get_scorer(*files)
        files[changed].write_text("text" if change == "time" else "texts")
        os.utime(files[changed], ns=(10**18, 10**18 + (change == "time")))
        second = get_scorer(*files)
        assert second is not first and get_scorer(*files) is second and len(made) == 2


class TestModelFiles:
    def test_the_working_directory_is_asked_only_where_the_environment_says_so(self, tmp_path, monkeypatch):
        """As the original did always; but who scores strangers' files may be in a folder of theirs."""
        installed, files = get_scorer(), model_files()
        (tmp_path / "nsfw_model").mkdir()
        shutil.copy(ROOT / "nsfw_model/deploy.prototxt", tmp_path / "nsfw_model")
        shutil.copy(ROOT / "nsfw.pkl", tmp_path)
        monkeypatch.chdir(tmp_path)
        assert get_scorer() is installed
        monkeypatch.setenv("OPEN_NSFW_FOLDER", ".")
        assert model_files() == (tmp_path / "nsfw.pkl", tmp_path / "nsfw_model" / "deploy.prototxt")
        (tmp_path / "nsfw_model" / "deploy.prototxt").unlink()
        assert model_files() == (tmp_path / "nsfw.pkl", files[1])
        (tmp_path / "nsfw.pkl").unlink()
        with pytest.raises(FileNotFoundError, match="no such file: nsfw.pkl"):
            model_files()

    @pytest.mark.parametrize("name", ["", b"", 0, {}, np.ma.masked])
    @pytest.mark.parametrize("argument", ["nsfw_pkl_path", "deploy_prototxt_path"])
    def test_what_is_empty_is_not_left_out(self, argument, name):
        with pytest.raises((FileNotFoundError, TypeError), match="no such file: the empty name|expected str|argument"):
            model_files(**{argument: name})

    def test_a_name_that_is_too_long_is_no_file(self):
        with pytest.raises(FileNotFoundError, match=r"no such file: n{60}\.\.\. \(5000 characters\)$"):
            model_files("n" * 5000)

    def test_compiled_functions_are_kept_until_a_file_changes(self, tmp_path):
        prototxt = tmp_path / "copy.prototxt"
        shutil.copy(ROOT / "nsfw_model/deploy.prototxt", prototxt)
        first = get_scorer(deploy_prototxt_path=prototxt)
        assert get_scorer(deploy_prototxt_path=str(prototxt)) is first
        prototxt.write_text(prototxt.read_text() + "# a comment\n")
        assert get_scorer(deploy_prototxt_path=prototxt) is not first

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="none.pkl"):
            nsfw_score(IMG / "rocket.jpg", nsfw_pkl_path=tmp_path / "none.pkl")

    def test_the_score_is_the_same_from_another_directory(self, tmp_path):
        printed = run_python(
            f"from open_nsfw import nsfw_score; print(nsfw_score({str(IMG / 'rocket.jpg')!r}))", cwd=tmp_path
        )
        assert float(printed) == pytest.approx(CAFFE_SCORES["rocket.jpg"], abs=1e-6)


class TestImport:
    def test_importing_brings_in_pillow_and_numpy_but_no_theano(self, tmp_path):
        heavy = "theano", "lasagne", "google.protobuf", "scipy"
        code = f"import sys, open_nsfw; print([name for name in {heavy} if name in sys.modules])"
        assert run_python(code, cwd=tmp_path).strip() == "[]"

    def test_importing_a_score_brings_in_no_theano_either(self, tmp_path):
        code = "import sys; from open_nsfw import nsfw_score, nsfw_score_fn; print('theano' in sys.modules)"
        assert run_python(code, cwd=tmp_path).strip() == "False"

    def test_theano_imported_after_open_nsfw_works(self, tmp_path):
        code = "import open_nsfw, theano, lasagne; print(theano.config.floatX, theano.tensor.fmatrix().dtype)"
        assert run_python(code, cwd=tmp_path).split() == ["float32", "float32"]


#: Public names of open_nsfw.py in https://github.com/tjwei/play_nsfw, but for the modules that it imports.
ORIGINAL_NAMES = {
    "build_nsfw_net", "cmean", "crop", "deprocess", "make_jpg", "nsfw_input_var", "nsfw_model", "nsfw_net",
    "nsfw_output", "nsfw_score", "nsfw_score_fn", "process",
}  # fmt: skip


class TestOriginalNames:
    """Names and meanings as in the original module."""

    def test_no_picture_has_no_score(self):
        with pytest.raises(ValueError, match="img: got no picture, expected at least one"):
            open_nsfw.nsfw_score_fn(np.zeros((0, 3, 224, 224), np.float32))

    def test_they_are_listed_before_there_is_a_network(self, tmp_path):
        code = "import sys, open_nsfw; print(*dir(open_nsfw)); assert 'theano' not in sys.modules"
        assert ORIGINAL_NAMES | set(open_nsfw.__all__) <= set(run_python(code, cwd=tmp_path).split())

    def test_a_star_import_binds_them_without_compiling(self, tmp_path):
        """No compiler is run before the first score, though there is nothing in the compile folder."""
        code = f"""
import contextlib, subprocess, theano_compat, theano
class Refused(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        print("a compiler is run")
        raise RuntimeError
subprocess.Popen = Refused
from open_nsfw import *
print("imported", *sorted({ORIGINAL_NAMES} - set(globals())))
with contextlib.suppress(Exception):
    nsfw_score_fn(prepare({str(IMG / "rocket.jpg")!r})[None])
"""
        flags = {"THEANO_FLAGS": f"base_compiledir={tmp_path}"}
        printed = run_python(code, cwd=tmp_path, env=flags).splitlines()
        assert printed[:2] == ["imported", "a compiler is run"]

    def test_beside_the_layer_nsfw_model_the_package_can_be_imported(self, tmp_path):
        code = """
from open_nsfw import *
from nsfw_model.scorer import Scorer
print(type(nsfw_model).__name__, Scorer.__name__)
"""
        assert run_python(code, cwd=tmp_path).split() == ["SoftmaxLayer", "Scorer"]

    @pytest.mark.slow
    def test_a_graph_of_them_computes_the_score(self, tmp_path):
        """As the original's notebook Inverse-NSFW does."""
        code = f"""
from open_nsfw import *
import theano
picture = resize_image({str(IMG / "rocket.jpg")!r}, convert_to_array=False)
fn = theano.function([nsfw_input_var], nsfw_output[0][1])
print(fn(crop(make_jpg(picture))), nsfw_score_fn(crop(make_jpg(picture))))
"""
        graph, compiled = map(float, run_python(code, cwd=tmp_path).split())
        assert graph == pytest.approx(compiled, rel=1e-4) == CAFFE_SCORES["rocket.jpg"]

    def test_the_network_under_its_original_names(self):
        import lasagne

        assert open_nsfw.nsfw_input_var.ndim == 4
        assert open_nsfw.nsfw_net["prob"] is open_nsfw.nsfw_model
        assert open_nsfw.nsfw_net["data"].input_var is open_nsfw.nsfw_input_var
        assert lasagne.layers.get_output_shape(open_nsfw.nsfw_model)[1] == 2
        assert open_nsfw.nsfw_output.ndim == 2

    def test_threads_that_ask_at_once_get_the_same_network(self, tmp_path):
        code = """
import open_nsfw
from concurrent.futures import ThreadPoolExecutor
names = ["nsfw_net", "nsfw_model"] * 4
found = list(ThreadPoolExecutor(8).map(lambda name: getattr(open_nsfw, name), names))
assert all(net["prob"] is model for net in found[::2] for model in found[1::2])
"""
        run_python(code, cwd=tmp_path)

    def test_nsfw_score_fn_scores_network_input(self):
        jpg = open_nsfw.make_jpg(open_nsfw.resize_image(IMG / "retina.jpg", convert_to_array=False))
        score = open_nsfw.nsfw_score_fn(open_nsfw.crop(jpg))
        assert (type(score), score.dtype, score.shape) == (np.ndarray, np.float32, ())
        assert float(score) == pytest.approx(FLOAT64_SCORES["retina.jpg"], abs=5e-7)

    def test_nsfw_score_fn_may_be_called_by_many_threads_at_once(self):
        inputs = [prepare(IMG / name)[np.newaxis] for name in CAFFE_SCORES] * 8
        with ThreadPoolExecutor(8) as threads:
            scores = list(threads.map(open_nsfw.nsfw_score_fn, inputs))
        np.testing.assert_allclose(scores, list(CAFFE_SCORES.values()) * 8, atol=1.5e-6)

    def test_other_names_are_attribute_errors(self):
        with pytest.raises(AttributeError, match="no attribute 'nsfw_scor'"):
            open_nsfw.nsfw_scor  # noqa: B018

    def test_build_nsfw_net_takes_the_callers_input_and_any_size(self):
        import lasagne
        import theano
        import theano.tensor as T

        x = T.tensor4()
        output, net = open_nsfw.build_nsfw_net(x)
        pooled = theano.function([x], lasagne.layers.get_output(net["pool"], deterministic=True))
        assert pooled(np.zeros((2, 3, 224, 320), np.float32)).shape[:2] == (2, 1024)
        trainable = lasagne.layers.get_all_params(output, trainable=True)
        assert all(isinstance(p, theano.compile.SharedVariable) for p in trainable) and len(trainable) > 100
