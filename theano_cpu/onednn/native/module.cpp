// The Python module: makes thunks, which Theano's C virtual machine calls without any Python in between.
//
// A thunk is a capsule as Theano's own compiled operations make them (theano/gof/cc.py): its pointer is an
// int (*)(void *), its context the argument, whose first member is a list [type, value, traceback] that receives the
// exception when the function returns non-zero. Values are read from and written to Theano's storage cells, which
// are lists of one element.
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "program.hpp"

namespace {

// ---- threads -------------------------------------------------------------------------------------------------------

std::atomic<int> wanted_threads{0};  // 0: what OpenMP says, that is OMP_NUM_THREADS or the number of cores

// OMP_NUM_THREADS may be any number, and starting thousands of threads ends in a crash.
int thread_count() {
    const int wanted = wanted_threads, most = std::max(64, 4 * omp_get_num_procs());
    return wanted > 0 ? wanted : std::min(omp_get_max_threads(), most);
}

// OpenMP's thread count belongs to the calling thread and is shared with other libraries: set, and put back.
class ThreadCount {
public:
    explicit ThreadCount(int count) : before(omp_get_max_threads()) {
        if (count != before) omp_set_num_threads(count);
    }
    ~ThreadCount() {
        if (omp_get_max_threads() != before) omp_set_num_threads(before);
    }

private:
    int before;
};

// fork() copies only the calling thread. OpenMP keeps a team of threads for each thread that has used it, and the copy
// would wait for its team for ever; a thread that is new has none yet. So the copied thread lets another work.
thread_local bool copied_by_fork = false;

class Worker {
public:
    // Run `work` on the worker's thread, and wait for it.
    void run(const std::function<void()> &work) {
        std::unique_lock<std::mutex> lock(mutex);
        if (!started) {
            std::thread([this] { loop(); }).detach();
            started = true;
        }
        job = &work;
        wake.notify_one();
        done.wait(lock, [this] { return !job; });
        std::exception_ptr raised = failure;
        failure = nullptr;
        if (raised) std::rethrow_exception(raised);
    }

private:
    void loop() {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            wake.wait(lock, [this] { return job; });
            try {
                (*job)();
            } catch (...) {
                failure = std::current_exception();
            }
            job = nullptr;
            done.notify_one();
        }
    }

    std::mutex mutex;
    std::condition_variable wake, done;
    const std::function<void()> *job = nullptr;
    std::exception_ptr failure;
    bool started = false;
};

Worker *worker = nullptr;  // never destroyed: its thread may outlive main()

// Run `work` with `count` threads, from one that OpenMP works for.
void with_threads(int count, const std::function<void()> &work) {
    auto counted = [&] {
        ThreadCount threads(count);
        work();
    };
    if (!copied_by_fork) return counted();
    if (!worker) worker = new Worker;
    worker->run(counted);
}

// ---- the end of the process ----------------------------------------------------------------------------------------

// While the interpreter ends, threads that compute would run into what is being destroyed.
std::atomic<int> computing{0};
std::atomic<bool> closing{false};
thread_local bool may_compute_at_end = false;

[[noreturn]] void wait_for_the_end() {
    for (;;) pause();
}

std::atomic<int> generation{1};  // of processes, by forks

void after_fork_in_child() {
    copied_by_fork = true;
    ++generation;
    worker = nullptr;  // its thread was not copied
    computing = 0;
}

// ---- operations by name --------------------------------------------------------------------------------------------

const Operations &operations() {
    static const Operations all = [] {
        Operations made = convolution_operations();
        made.merge(value_operations());
        return made;
    }();
    return all;
}

// Thrown where a Python exception is set already.
struct PythonError {};

class Reference {
public:
    explicit Reference(PyObject *owned = nullptr) : object(owned) {}
    Reference(Reference &&other) noexcept : object(other.object) { other.object = nullptr; }
    Reference &operator=(Reference &&other) noexcept {
        std::swap(object, other.object);
        return *this;
    }
    ~Reference() { Py_XDECREF(object); }
    PyObject *get() const { return object; }
    PyArrayObject *array() const { return reinterpret_cast<PyArrayObject *>(object); }

private:
    PyObject *object;
};

Settings settings_of(PyObject *dict) {
    Settings settings;
    PyObject *key, *value;
    for (Py_ssize_t position = 0; PyDict_Next(dict, &position, &key, &value);) {
        const char *name = PyUnicode_AsUTF8(key);
        if (!name) throw PythonError();
        std::vector<double> &numbers = settings[name];
        if (!PyTuple_Check(value)) {
            numbers.push_back(PyFloat_AsDouble(value));
        } else {
            for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); ++i)
                numbers.push_back(PyFloat_AsDouble(PyTuple_GET_ITEM(value, i)));
        }
        if (PyErr_Occurred()) throw PythonError();
    }
    return settings;
}

// ---- arrays --------------------------------------------------------------------------------------------------------

Tensor tensor(PyArrayObject *array) {
    return {PyArray_DATA(array), Shape(PyArray_DIMS(array), PyArray_DIMS(array) + PyArray_NDIM(array))};
}

bool is_usable_output(PyObject *object, int type, const Shape &shape) {
    if (!object || !PyArray_CheckExact(object)) return false;
    PyArrayObject *array = reinterpret_cast<PyArrayObject *>(object);
    return PyArray_TYPE(array) == type && PyArray_ISCARRAY(array) && size_t(PyArray_NDIM(array)) == shape.size() &&
           std::equal(shape.begin(), shape.end(), PyArray_DIMS(array));
}

// Memory of arrays that are no more, the last freed first: it is still in the CPU's caches. A network's values then
// need little more than those that are alive at once. Python's lock protects it.
class FreeMemory {
public:
    struct Piece {
        void *data;
        size_t bytes;
    };

    Piece take(size_t bytes) {
        for (size_t i = pieces.size(); i-- > 0;) {
            Piece piece = pieces[i];
            if (piece.bytes < bytes || piece.bytes / 2 > bytes) continue;
            pieces.erase(pieces.begin() + i);
            total -= piece.bytes;
            permit(piece.data, bytes);
            return piece;
        }
        return {allocate(bytes), bytes};
    }

    void give_back(Piece piece) {
        forbid(piece.data, piece.bytes);
        pieces.push_back(piece);
        total += piece.bytes;
        while (total > limit) {
            std::free(pieces.front().data);
            total -= pieces.front().bytes;
            pieces.erase(pieces.begin());
        }
    }

private:
    static constexpr size_t limit = size_t(256) << 20;
    std::vector<Piece> pieces;
    size_t total = 0;
};

FreeMemory &free_memory() {
    static FreeMemory *memory = new FreeMemory;  // never destroyed: arrays may outlive everything else
    return *memory;
}

void free_data(PyObject *capsule) {
    size_t bytes = reinterpret_cast<size_t>(PyCapsule_GetContext(capsule));
    free_memory().give_back({PyCapsule_GetPointer(capsule, nullptr), bytes});
}

Reference new_array(int type, const Shape &shape) {
    std::vector<npy_intp> dims(shape.begin(), shape.end());
    dnnl_dim_t bytes = type == NPY_UINT16 ? 2 : 4;
    for (dnnl_dim_t dim : shape)
        if (__builtin_mul_overflow(bytes, dim, &bytes)) throw std::bad_alloc();
    FreeMemory::Piece piece = free_memory().take(bytes + 1);
    Reference owner(PyCapsule_New(piece.data, nullptr, free_data));
    if (!owner.get()) {
        free_memory().give_back(piece);
        throw PythonError();
    }
    PyCapsule_SetContext(owner.get(), reinterpret_cast<void *>(piece.bytes));
    Reference array(PyArray_SimpleNewFromData(int(dims.size()), dims.data(), type, piece.data));
    if (!array.get()) throw PythonError();
    Py_INCREF(owner.get());
    if (PyArray_SetBaseObject(array.array(), owner.get()) < 0) throw PythonError();
    return array;
}

std::string layout_text(PyArrayObject *array) {
    Shape strides(PyArray_STRIDES(array), PyArray_STRIDES(array) + PyArray_NDIM(array));
    return "shape " + text(tensor(array).shape) + " strides " + text(strides);
}

// ---- thunks --------------------------------------------------------------------------------------------------------

struct Thunk {
    PyObject *error = nullptr;  // first, see above
    std::string label;
    std::unique_ptr<Operation> operation;
    std::vector<int> input_types, output_types;
    Arguments arguments;
    int in_place = -1;  // the input whose memory the first output takes
    std::vector<Reference> inputs, outputs, constants;
    int computing_in = 0;  // the generation of the process that computes it now: one thread at a time. Python's lock protects it

    ~Thunk() { Py_XDECREF(error); }
};

// What an operation has prepared fits the arrays of one call.
class Alone {
public:
    explicit Alone(Thunk &thunk) : thunk(thunk) {
        // In a child that was forked meanwhile, the thread that computed does not exist
        if (thunk.computing_in == generation)
            throw std::runtime_error(
                "it computes on another thread already: a compiled function is for one thread at a time");
        thunk.computing_in = generation;
    }
    ~Alone() { thunk.computing_in = 0; }

private:
    Thunk &thunk;
};

std::string failure(const Thunk &thunk, const std::vector<Reference> &inputs, const char *what) {
    std::string message = thunk.label + ": " + what + " [";
    for (size_t i = 0; i < inputs.size(); ++i)
        message += (i ? "; input " : "input ") + std::to_string(i) + " " + layout_text(inputs[i].array());
    return message + "]";
}

// The array in a cell, in the order and alignment that the operations read.
Reference readable(const Thunk &thunk, size_t index, PyObject *object) {
    if (!object || !PyArray_Check(object) ||
        PyArray_TYPE(reinterpret_cast<PyArrayObject *>(object)) != thunk.input_types[index]) {
        PyErr_Format(PyExc_TypeError, "%s: input %zu is %R, expected a NumPy array of %s", thunk.label.c_str(), index,
                     object ? reinterpret_cast<PyObject *>(Py_TYPE(object)) : Py_None,
                     thunk.input_types[index] == NPY_FLOAT32 ? "float32" : "uint16");
        throw PythonError();
    }
    const int axes = PyArray_NDIM(reinterpret_cast<PyArrayObject *>(object)), expected = thunk.arguments[index].axes;
    if (expected != any_axes && axes != expected) {
        PyErr_Format(PyExc_TypeError, "%s: input %zu has %d axes, expected %d", thunk.label.c_str(), index, axes,
                     expected);
        throw PythonError();
    }
    // The type names the byte order too, which its number and the flags of PyArray_FromArray leave open
    Reference array(PyArray_FromArray(reinterpret_cast<PyArrayObject *>(object),
                                      PyArray_DescrFromType(thunk.input_types[index]),
                                      NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED));
    if (!array.get()) throw PythonError();
    return array;
}

// The references of a computation. Where the interpreter ends meanwhile, Python ends the thread (pthread_exit) that asks
// for its lock, and they are not to be touched without it.
struct Held {
    std::vector<Reference> inputs, outputs;
};

class HeldGuard {
public:
    Held *held = new Held;
    bool without_lock = false;
    ~HeldGuard() {
        if (!without_lock) delete held;
    }
};

void run_without_lock(HeldGuard &guard, int threads, const std::function<void()> &work) {
    guard.without_lock = true;
    PyThreadState *state = PyEval_SaveThread();
    ++computing;
    if (closing && !may_compute_at_end) {
        --computing;
        wait_for_the_end();
    }
    std::exception_ptr failure;
    try {
        with_threads(threads, work);
    } catch (...) {
        failure = std::current_exception();
    }
    --computing;
    PyEval_RestoreThread(state);
    guard.without_lock = false;
    if (failure) std::rethrow_exception(failure);
}

void compute(Thunk &thunk) {
    HeldGuard guard;
    std::vector<Reference> &inputs = guard.held->inputs, &outputs = guard.held->outputs;
    try {
        Alone alone(thunk);
        Tensors in, out;
        for (size_t i = 0; i < thunk.inputs.size(); ++i) {
            inputs.push_back(readable(thunk, i, PyList_GET_ITEM(thunk.inputs[i].get(), 0)));
            in.push_back(tensor(inputs.back().array()));
        }
        std::vector<Shape> shapes = thunk.operation->output_shapes(in);
        for (size_t i = 0; i < shapes.size(); ++i) {
            PyObject *present = PyList_GET_ITEM(thunk.outputs[i].get(), 0);
            if (i == 0 && thunk.in_place >= 0) present = inputs[thunk.in_place].get();
            if (is_usable_output(present, thunk.output_types[i], shapes[i])) {
                Py_INCREF(present);
                outputs.emplace_back(present);
            } else {
                outputs.push_back(new_array(thunk.output_types[i], shapes[i]));
            }
            out.push_back(tensor(outputs.back().array()));
        }
        // What is prepared for some threads is not run by more, though another thread sets their number in between
        const int threads = thread_count();
        with_threads(threads, [&] { thunk.operation->prepare(in, out); });
        run_without_lock(guard, threads, [&] { thunk.operation->run(in, out); });
        for (size_t i = 0; i < outputs.size(); ++i) {
            Py_INCREF(outputs[i].get());
            PyList_SetItem(thunk.outputs[i].get(), 0, outputs[i].get());
        }
    } catch (const PythonError &) {
    } catch (const std::invalid_argument &error) {
        PyErr_SetString(PyExc_ValueError, failure(thunk, inputs, error.what()).c_str());
    } catch (const std::bad_alloc &) {
        PyErr_SetString(PyExc_MemoryError, failure(thunk, inputs, "out of memory").c_str());
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, failure(thunk, inputs, error.what()).c_str());
    }
}

// Called by Theano's virtual machine.
int thunk_main(void *context) {
    Thunk *thunk = static_cast<Thunk *>(context);
    compute(*thunk);
    if (!PyErr_Occurred()) return 0;
    PyObject *parts[3];
    PyErr_Fetch(&parts[0], &parts[1], &parts[2]);
    PyErr_NormalizeException(&parts[0], &parts[1], &parts[2]);
    for (int i = 0; i < 3; ++i) {
        if (!parts[i]) {
            Py_INCREF(Py_None);
            parts[i] = Py_None;
        }
        PyList_SetItem(thunk->error, i, parts[i]);
    }
    return 1;
}

void free_thunk(PyObject *capsule) { delete static_cast<Thunk *>(PyCapsule_GetContext(capsule)); }

std::vector<Reference> cells_of(PyObject *list) {
    std::vector<Reference> cells;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
        PyObject *cell = PyList_GET_ITEM(list, i);
        if (!PyList_Check(cell) || PyList_GET_SIZE(cell) != 1) {
            PyErr_SetString(PyExc_TypeError, "expected storage cells: lists of one element");
            throw PythonError();
        }
        Py_INCREF(cell);
        cells.emplace_back(cell);
    }
    return cells;
}

int type_of_width(long width) { return width == 2 ? NPY_UINT16 : NPY_FLOAT32; }

std::vector<int> types_of(PyObject *widths) {
    std::vector<int> types;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(widths); ++i) {
        types.push_back(type_of_width(PyLong_AsLong(PyTuple_GET_ITEM(widths, i))));
        if (PyErr_Occurred()) throw PythonError();
    }
    return types;
}

// Whether the cells are what the operation reads and writes: it looks at no more than their values' shapes.
void check_cells(const Thunk &thunk, const std::vector<int> &output_types) {
    require(thunk.inputs.size() == thunk.arguments.size(),
            "got " + std::to_string(thunk.inputs.size()) + " input(s), expected " +
                std::to_string(thunk.arguments.size()));
    require(thunk.outputs.size() == output_types.size(), "got " + std::to_string(thunk.outputs.size()) +
                                                             " output(s), expected " +
                                                             std::to_string(output_types.size()));
    bool same = thunk.output_types == output_types;
    for (size_t i = 0; i < thunk.inputs.size(); ++i)
        same = same && thunk.input_types[i] == type_of_width(thunk.arguments[i].width);
    require(same, "the widths are not those that the operation reads and writes");
    require(thunk.in_place >= -1 && thunk.in_place < int(thunk.inputs.size()),
            "there is no input " + std::to_string(thunk.in_place) + " to be overwritten");
}

std::unique_ptr<Operation> operation_of(const char *name, PyObject *settings) {
    auto found = operations().find(name);
    if (found == operations().end()) throw std::invalid_argument(std::string("no operation is called ") + name);
    return found->second(settings_of(settings));
}

// Give the thunk its cells, and put it into a capsule.
PyObject *finished(std::unique_ptr<Thunk> thunk, PyObject *input_cells, PyObject *output_cells, PyObject *input_widths,
                   PyObject *output_widths, int in_place) {
    thunk->inputs = cells_of(input_cells);
    thunk->outputs = cells_of(output_cells);
    thunk->input_types = types_of(input_widths);
    thunk->output_types = types_of(output_widths);
    if (thunk->inputs.size() != thunk->input_types.size() || thunk->outputs.size() != thunk->output_types.size())
        throw std::invalid_argument("expected one width for every cell");
    thunk->arguments = thunk->operation->inputs(thunk->inputs.size());
    thunk->in_place = in_place;
    std::vector<int> output_types;
    for (int width : thunk->operation->output_widths()) output_types.push_back(type_of_width(width));
    check_cells(*thunk, output_types);
    thunk->error = Py_BuildValue("[OOO]", Py_None, Py_None, Py_None);
    if (!thunk->error) return nullptr;
    PyObject *capsule = PyCapsule_New(reinterpret_cast<void *>(thunk_main), nullptr, free_thunk);
    if (capsule && PyCapsule_SetContext(capsule, thunk.get()) == 0) thunk.release();
    return capsule;
}

// What `make` makes, or nullptr with an exception set.
template <class Make>
PyObject *or_exception(Make make) {
    try {
        return make();
    } catch (const PythonError &) {
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
    return nullptr;
}

PyObject *make_thunk(PyObject *, PyObject *arguments) {
    const char *name, *label;
    PyObject *dict, *input_cells, *output_cells, *input_widths, *output_widths;
    int in_place;
    if (!PyArg_ParseTuple(arguments, "ssO!O!O!O!O!i", &name, &label, &PyDict_Type, &dict, &PyList_Type, &input_cells,
                          &PyList_Type, &output_cells, &PyTuple_Type, &input_widths, &PyTuple_Type, &output_widths,
                          &in_place))
        return nullptr;
    return or_exception([&] {
        std::unique_ptr<Thunk> thunk(new Thunk);
        thunk->label = label;
        thunk->operation = operation_of(name, dict);
        return finished(std::move(thunk), input_cells, output_cells, input_widths, output_widths, in_place);
    });
}

std::vector<size_t> numbers_of(PyObject *tuple) {
    std::vector<size_t> numbers;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
        numbers.push_back(PyLong_AsSize_t(PyTuple_GET_ITEM(tuple, i)));
        if (PyErr_Occurred()) throw PythonError();
    }
    return numbers;
}

Step step_of(PyObject *tuple) {
    const char *name, *label;
    PyObject *settings, *inputs;
    if (!PyArg_ParseTuple(tuple, "ssO!O!", &name, &label, &PyDict_Type, &settings, &PyTuple_Type, &inputs))
        throw PythonError();
    return {label, operation_of(name, settings), numbers_of(inputs)};
}

PyObject *make_program(PyObject *, PyObject *arguments) {
    const char *label;
    PyObject *list, *results, *constants, *input_cells, *output_cells, *input_widths, *output_widths;
    if (!PyArg_ParseTuple(arguments, "sO!O!O!O!O!O!O!", &label, &PyList_Type, &list, &PyTuple_Type, &results,
                          &PyList_Type, &constants, &PyList_Type, &input_cells, &PyList_Type, &output_cells,
                          &PyTuple_Type, &input_widths, &PyTuple_Type, &output_widths))
        return nullptr;
    return or_exception([&] {
        std::unique_ptr<Thunk> thunk(new Thunk);
        thunk->label = label;
        std::vector<Step> steps;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
            if (!PyTuple_Check(PyList_GET_ITEM(list, i))) throw std::invalid_argument("expected steps as tuples");
            steps.push_back(step_of(PyList_GET_ITEM(list, i)));
        }
        Tensors values;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(constants); ++i) {
            Reference array(PyArray_FROMANY(PyList_GET_ITEM(constants, i), NPY_FLOAT32, 0, 0,
                                            NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED));
            if (!array.get()) throw PythonError();
            values.push_back(tensor(array.array()));
            thunk->constants.push_back(std::move(array));
        }
        thunk->operation.reset(new Program(std::move(steps), size_t(PyList_GET_SIZE(input_cells)), std::move(values),
                                           numbers_of(results)));
        return finished(std::move(thunk), input_cells, output_cells, input_widths, output_widths, -1);
    });
}

Thunk *thunk_in(PyObject *capsule) {
    if (PyCapsule_GetPointer(capsule, nullptr) != reinterpret_cast<void *>(thunk_main)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "expected a thunk of this module");
        return nullptr;
    }
    return static_cast<Thunk *>(PyCapsule_GetContext(capsule));
}

PyObject *run_thunk(PyObject *, PyObject *capsule) {
    Thunk *thunk = thunk_in(capsule);
    if (!thunk) return nullptr;
    compute(*thunk);
    if (PyErr_Occurred()) return nullptr;
    Py_RETURN_NONE;
}

PyObject *implementations(PyObject *, PyObject *capsule) {
    Thunk *thunk = thunk_in(capsule);
    if (!thunk) return nullptr;
    std::vector<std::string> names = thunk->operation->implementations();
    Reference list(PyList_New(0));
    for (const std::string &name : names) {
        Reference item(PyUnicode_FromString(name.c_str()));
        if (!item.get() || PyList_Append(list.get(), item.get()) < 0) return nullptr;
    }
    return PyList_AsTuple(list.get());
}

// ---- the library ---------------------------------------------------------------------------------------------------

PyObject *set_num_threads(PyObject *, PyObject *count) {
    long threads = PyLong_AsLong(count);
    if (threads == -1 && PyErr_Occurred()) return nullptr;
    if (threads < 0 || threads > 4096) {
        PyErr_Format(PyExc_ValueError, "threads must be from 1 to 4096 (0: OpenMP's own choice), got %ld", threads);
        return nullptr;
    }
    wanted_threads = int(threads);
    Py_RETURN_NONE;
}

PyObject *get_num_threads(PyObject *, PyObject *) {
    return PyLong_FromLong(thread_count());
}

// A ReLU makes 0 of what is no number: an overflow before it leaves no trace but the flags of the processor, of which
// each thread has its own.
PyObject *overflowed(PyObject *, PyObject *) {
    int flags = 0;
    with_threads(thread_count(), [&] {
#pragma omp parallel reduction(| : flags)
        {
            flags |= std::fetestexcept(FE_OVERFLOW | FE_INVALID);
            std::feclearexcept(FE_OVERFLOW | FE_INVALID);
        }
    });
    return PyBool_FromLong(flags);
}

// Of the calling thread alone, which costs next to nothing.
PyObject *forget_overflows(PyObject *, PyObject *) {
    std::feclearexcept(FE_OVERFLOW | FE_INVALID);
    Py_RETURN_NONE;
}

PyObject *versions(PyObject *, PyObject *) {
    const dnnl_version_t *used = dnnl_version();
    return Py_BuildValue("{s:(iii),s:(iii),s:i}", "compiled", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH,
                         "loaded", used->major, used->minor, used->patch, "isa", int(dnnl_get_effective_cpu_isa()));
}

PyObject *is_fast(PyObject *, PyObject *) {
    try {
        return PyBool_FromLong(has_fast_convolutions());
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

PyObject *close_module(PyObject *, PyObject *) {
    may_compute_at_end = true;
    closing = true;
    PyThreadState *state = PyEval_SaveThread();
    while (computing) usleep(500);
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"make_thunk", make_thunk, METH_VARARGS,
     "make_thunk(operation, label, settings, input_cells, output_cells, input_widths, output_widths, in_place)"},
    {"make_program", make_program, METH_VARARGS,
     "make_program(label, steps, results, constants, input_cells, output_cells, input_widths, output_widths)"},
    {"run_thunk", run_thunk, METH_O, "Compute a thunk's outputs."},
    {"implementations", implementations, METH_O, "oneDNN's implementations that a thunk used last."},
    {"set_num_threads", set_num_threads, METH_O, "Threads of every operation from now on; 0: OpenMP's own choice."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "Threads that an operation uses."},
    {"forget_overflows", forget_overflows, METH_NOARGS, "Clear the calling thread's own flags, which overflowed() reads."},
    {"overflowed", overflowed, METH_NOARGS,
     "Whether a value was too large, or no number, in the calling thread's computations since the last call."},
    {"versions", versions, METH_NOARGS, "oneDNN's version at compilation and now, and its instruction set's bits."},
    {"close", close_module, METH_NOARGS,
     "Wait for what other threads compute, and let none but the calling thread begin anything more."},
    {"is_fast", is_fast, METH_NOARGS, "Whether oneDNN has convolutions made for this processor."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "theano_cpu_onednn", nullptr, -1, methods, nullptr, nullptr, nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_theano_cpu_onednn() {
    import_array();
    pthread_atfork(nullptr, nullptr, after_fork_in_child);
    return PyModule_Create(&definition);
}
