// What the module knows of an operation: shapes out of shapes, and values out of values.
#pragma once
#include <cmath>
#include <map>

#include "tensor.hpp"

inline void require(bool condition, const std::string &message) {
    if (!condition) throw std::invalid_argument(message);
}

// Settings of an operation, by name; every value is a list of numbers.
using Settings = std::map<std::string, std::vector<double>>;

inline const std::vector<double> &setting(const Settings &settings, const std::string &name) {
    auto found = settings.find(name);
    if (found == settings.end()) throw std::invalid_argument("setting '" + name + "' is missing");
    return found->second;
}

// A value of a setting: a whole number, and none so large that sums and products with lengths of axes overflow.
inline dnnl_dim_t integer(const Settings &settings, const std::string &name, dnnl_dim_t least = 0, size_t index = 0) {
    const double value = setting(settings, name).at(index);
    require(value >= double(least) && value <= INT32_MAX && value == std::floor(value),
            "setting '" + name + "' is " + std::to_string(value) + ", expected a whole number from " +
                std::to_string(least) + " to " + std::to_string(INT32_MAX));
    return static_cast<dnnl_dim_t>(value);
}

struct Pair {
    dnnl_dim_t rows, columns;
};

inline Pair pair(const Settings &settings, const std::string &name, dnnl_dim_t least) {
    return {integer(settings, name, least), integer(settings, name, least, 1)};
}

// What an operation reads: the bytes of a value, 4 (float32) or 2 (bfloat16), and the number of axes.
struct Argument {
    int width, axes;
};
using Arguments = std::vector<Argument>;
constexpr int any_axes = -1;

// An operation that makes each row of its pictures of a few rows of those it is given.
class ByRows {
public:
    virtual ~ByRows() = default;
    // Of pictures of shape `x`: the rows, the last one excluded, that a row of the output is made of.
    virtual std::pair<dnnl_dim_t, dnnl_dim_t> rows_for(const Shape &x, dnnl_dim_t row) const = 0;
    // `from` is the first of them.
    virtual void make_row(const Shape &x, dnnl_dim_t row, const void *from, void *to) const = 0;
};

class Operation {
public:
    virtual ~Operation() = default;
    // Takes over an operation that alone reads its output, where it can do both at once.
    virtual bool absorb(std::unique_ptr<Operation> &) { return false; }
    // What it reads; `given` is the number of inputs that there are, for operations that take some more or less.
    virtual Arguments inputs(size_t given) const = 0;
    // The bytes of a value of each output.
    virtual std::vector<int> output_widths() const { return {4}; }
    // Of each input, whether its first axis counts pictures that are computed one by one. Where any is, those of all
    // outputs do.
    virtual std::vector<bool> pictures(size_t given) const { return std::vector<bool>(given, true); }
    // The input whose memory the first output may take, or -1.
    virtual int replaced() const { return -1; }
    // Shapes of the outputs; throws std::invalid_argument when the inputs do not fit together.
    virtual std::vector<Shape> output_shapes(const Tensors &inputs) = 0;
    // Called before run(): makes whatever these shapes need and keeps it.
    virtual void prepare(const Tensors &, const Tensors &) {}
    // Called without Python's lock.
    virtual void run(const Tensors &inputs, const Tensors &outputs) = 0;
    // Names of the oneDNN implementations in use.
    virtual std::vector<std::string> implementations() const { return {}; }
};

inline void require_same_shape(const Tensor &a, const Tensor &b, const char *what) {
    require(a.shape == b.shape, std::string(what) + " have shapes " + text(a.shape) + " and " + text(b.shape) +
                                    ", expected the same");
}

// Makers of operations by the names that Python knows.
using Operations = std::map<std::string, std::unique_ptr<Operation> (*)(const Settings &)>;

template <class Made>
std::unique_ptr<Operation> make(const Settings &settings) {
    return std::unique_ptr<Operation>(new Made(settings));
}

Operations convolution_operations();
Operations value_operations();
// Whether oneDNN has more than plain C++ loops for a convolution of 64 channels on this processor.
bool has_fast_convolutions();
