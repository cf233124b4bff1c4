// What the module knows of an operation: shapes out of shapes, and values out of values.
#pragma once
#include <map>

#include "tensor.hpp"

// Settings of an operation, by name; every value is a list of numbers.
using Settings = std::map<std::string, std::vector<double>>;

inline const std::vector<double> &setting(const Settings &settings, const std::string &name) {
    auto found = settings.find(name);
    if (found == settings.end()) throw std::invalid_argument("setting '" + name + "' is missing");
    return found->second;
}

inline dnnl_dim_t integer(const Settings &settings, const std::string &name) {
    return static_cast<dnnl_dim_t>(setting(settings, name).at(0));
}

struct Pair {
    dnnl_dim_t rows, columns;
};

inline Pair pair(const Settings &settings, const std::string &name) {
    const auto &values = setting(settings, name);
    return {static_cast<dnnl_dim_t>(values.at(0)), static_cast<dnnl_dim_t>(values.at(1))};
}

class Operation {
public:
    virtual ~Operation() = default;
    // Shapes of the outputs; throws std::invalid_argument when the inputs do not fit together.
    virtual std::vector<Shape> output_shapes(const Tensors &inputs) = 0;
    // Called with Python's lock held, before run(): makes whatever these shapes need and keeps it.
    virtual void prepare(const Tensors &, const Tensors &) {}
    // Called without Python's lock.
    virtual void run(const Tensors &inputs, const Tensors &outputs) = 0;
    // Names of the oneDNN implementations in use.
    virtual std::vector<std::string> implementations() const { return {}; }
};

inline void require(bool condition, const std::string &message) {
    if (!condition) throw std::invalid_argument(message);
}

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
// Whether oneDNN has more than plain C++ loops for a convolution of 64 channels on this processor.
bool has_fast_convolutions();
