// Value by value operations, layouts, matrix products and softmax.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "operation.hpp"
#include "primitive.hpp"

// The gradient that passes a (leaky) ReLU: inputs g, optionally a second gradient that is added to it, and the ReLU's
// output y, which may be bfloat16. At y == 0 the ReLU's slope is `negative_slope`. The output may be the memory of the
// first input.
class ReluGradient : public Operation {
public:
    explicit ReluGradient(const Settings &settings)
        : slope(float(setting(settings, "negative_slope").at(0))), is_narrow(integer(settings, "bfloat16")) {}

    Arguments inputs(size_t given) const override {
        Arguments all(given == 3 ? 3 : 2, {4, any_axes});
        all.back().width = is_narrow ? 2 : 4;
        return all;
    }
    int replaced() const override { return 0; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        for (size_t i = 1; i < in.size(); ++i) require_same_shape(in[0], in[i], "gradients and output of the ReLU");
        return {in[0].shape};
    }

    void run(const Tensors &in, const Tensors &out) override {
        // A bfloat16 number is above 0 where the whole number of its bits is
        if (is_narrow)
            pass(in, reinterpret_cast<const int16_t *>(in.back().halves()), out[0].floats());
        else
            pass(in, in.back().floats(), out[0].floats());
    }

private:
    template <class Value>
    void pass(const Tensors &in, const Value *y, float *to) const {
        const float *a = in[0].floats(), *b = in.size() == 3 ? in[1].floats() : nullptr, below = slope;
        in_parallel(in[0].size(), 1, [=](dnnl_dim_t first, dnnl_dim_t last) {
            if (b)
#pragma omp simd
                for (dnnl_dim_t i = first; i < last; ++i) to[i] = (a[i] + b[i]) * (y[i] > 0 ? 1.f : below);
            else
#pragma omp simd
                for (dnnl_dim_t i = first; i < last; ++i) to[i] = a[i] * (y[i] > 0 ? 1.f : below);
        });
    }

    float slope;
    bool is_narrow;
};

// The sum of arrays of the same shape. The output may be the memory of the first input.
class Sum : public Operation {
public:
    explicit Sum(const Settings &) {}

    Arguments inputs(size_t given) const override { return Arguments(std::max<size_t>(given, 2), {4, any_axes}); }
    int replaced() const override { return 0; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        for (size_t i = 1; i < in.size(); ++i) require_same_shape(in[0], in[i], "the terms of a sum");
        return {in[0].shape};
    }

    void run(const Tensors &in, const Tensors &out) override {
        in_parallel(in[0].size(), 1, [&](dnnl_dim_t first, dnnl_dim_t last) {
            const float *a = in[0].floats(), *b = in[1].floats();
            float *to = out[0].floats();
#pragma omp simd
            for (dnnl_dim_t i = first; i < last; ++i) to[i] = a[i] + b[i];
            for (size_t term = 2; term < in.size(); ++term) {
                const float *c = in[term].floats();
#pragma omp simd
                for (dnnl_dim_t i = first; i < last; ++i) to[i] += c[i];
            }
        });
    }
};

// The upper half of a float32's bits, rounded to the nearest (ties to even). These are objects, not functions, so that
// loops that are given one are compiled with it.
struct Narrowed {
    uint16_t operator()(float value) const {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
        const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
        return uint16_t((is_nan ? bits | 0x400000 : rounded) >> 16);
    }
};

struct Widened {
    float operator()(uint16_t half) const {
        const uint32_t bits = uint32_t(half) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
};

struct Same {
    float operator()(float value) const { return value; }
};

// (N, C, H, W) to (N, H, W, C), or back. Of the former the result may be bfloat16.
class Layout : public Operation {
public:
    explicit Layout(const Settings &settings)
        : channels_last(integer(settings, "channels_last")), narrow(integer(settings, "bfloat16")) {
        require(channels_last || !narrow, "bfloat16 is for channels that become the last");
    }

    Arguments inputs(size_t) const override { return {{4, 4}}; }
    std::vector<int> output_widths() const override { return {narrow ? 2 : 4}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &x = in[0].shape;
        if (channels_last) return {{x[0], x[2], x[3], x[1]}};
        return {{x[0], x[3], x[1], x[2]}};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape;
        if (narrow)
            transpose(in[0].floats(), out[0].halves(), x[0], x[1], x[2] * x[3], Narrowed());
        else if (channels_last)
            transpose(in[0].floats(), out[0].floats(), x[0], x[1], x[2] * x[3], Same());
        else
            transpose(in[0].floats(), out[0].floats(), x[0], x[1] * x[2], x[3], Same());
    }

private:
    // `count` matrices of rows x columns, in tiles that stay in the nearest cache.
    template <class To, class Convert>
    static void transpose(const float *from, To *to, dnnl_dim_t count, dnnl_dim_t rows, dnnl_dim_t columns,
                          Convert convert) {
        const dnnl_dim_t tile = rows == 3 ? 1024 : 32;
        if (rows == 0 || columns == 0) return;
        dnnl_dim_t bands = (columns + tile - 1) / tile;
        in_parallel(count * bands, rows * tile, [=](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t band = first; band < last; ++band) {
                const float *source = from + band / bands * rows * columns;
                To *target = to + band / bands * rows * columns;
                dnnl_dim_t left = band % bands * tile, right = std::min(left + tile, columns);
                if (rows == 3) {  // colours: a count that the compiler knows
                    interleave(source + left, target + left * 3, columns, right - left, convert);
                    continue;
                }
                for (dnnl_dim_t top = 0; top < rows; top += tile)
                    for (dnnl_dim_t c = left; c < right; ++c)
                        for (dnnl_dim_t r = top; r < std::min(top + tile, rows); ++r)
                            target[c * rows + r] = convert(source[r * columns + c]);
            }
        });
    }

    template <class To, class Convert>
    static void interleave(const float *__restrict from, To *__restrict to, dnnl_dim_t plane, dnnl_dim_t count,
                           Convert convert) {
#pragma omp simd
        for (dnnl_dim_t i = 0; i < count; ++i) {
            to[3 * i] = convert(from[i]);
            to[3 * i + 1] = convert(from[plane + i]);
            to[3 * i + 2] = convert(from[2 * plane + i]);
        }
    }

    bool channels_last, narrow;
};

// float32 to bfloat16, or back.
class Bfloat16 : public Operation {
public:
    explicit Bfloat16(const Settings &settings) : narrow(integer(settings, "narrow")) {}

    Arguments inputs(size_t) const override { return {{narrow ? 4 : 2, any_axes}}; }
    std::vector<int> output_widths() const override { return {narrow ? 2 : 4}; }

    std::vector<Shape> output_shapes(const Tensors &in) override { return {in[0].shape}; }

    void run(const Tensors &in, const Tensors &out) override {
        if (narrow)
            convert(in[0].floats(), out[0].halves(), in[0].size(), Narrowed());
        else
            convert(in[0].halves(), out[0].floats(), in[0].size(), Widened());
    }

private:
    template <class From, class To, class Convert>
    static void convert(const From *from, To *to, dnnl_dim_t count, Convert converted) {
        in_parallel(count, 1, [=](dnnl_dim_t first, dnnl_dim_t last) {
#pragma omp simd
            for (dnnl_dim_t i = first; i < last; ++i) to[i] = converted(from[i]);
        });
    }

    bool narrow;
};

// a or its transpose times b or its transpose, plus a bias for every column where a third input is given.
class Gemm : public Operation {
public:
    explicit Gemm(const Settings &settings)
        : transpose_a(integer(settings, "transpose_a")), transpose_b(integer(settings, "transpose_b")) {}

    Arguments inputs(size_t given) const override {
        Arguments matrices{{4, 2}, {4, 2}};
        if (given == 3) matrices.push_back({4, 1});
        return matrices;
    }
    std::vector<bool> pictures(size_t given) const override {
        std::vector<bool> read(given, false);
        read[0] = !transpose_a;
        return read;
    }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &a = in[0].shape, &b = in[1].shape;
        require(a[!transpose_a] == b[transpose_b], "matrices of shapes " + text(a) + (transpose_a ? " (transposed)" : "") +
                                                       " and " + text(b) + (transpose_b ? " (transposed)" : "") +
                                                       " cannot be multiplied");
        Shape c{a[transpose_a], b[!transpose_b]};
        if (in.size() == 3)
            require(in[2].shape == Shape{c[1]}, "the bias has shape " + text(in[2].shape) + ", expected " + text({c[1]}));
        return {c};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &a = in[0].shape, &b = in[1].shape, &c = out[0].shape;
        const dnnl_dim_t inner = a[!transpose_a];
        float *to = out[0].floats();
        for (dnnl_dim_t i = 0; i < c[0]; ++i)
            if (in.size() == 3)
                std::memcpy(to + i * c[1], in[2].floats(), c[1] * sizeof(float));
            else
                std::fill(to + i * c[1], to + (i + 1) * c[1], 0.f);
        if (inner == 0 || out[0].size() == 0) return;
        // oneDNN adds up one row in another order than several. A classifier's rows are pictures, and their scores are
        // not to depend on their company; so small a product is no slower row by row.
        const bool by_rows = !transpose_a && inner * c[1] <= SMALL;
        const dnnl_dim_t rows = by_rows ? 1 : c[0];
        for (dnnl_dim_t i = 0; i < c[0]; i += rows)
            DNNL(dnnl_sgemm, transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', rows, c[1], inner, 1.f,
                 in[0].floats() + i * inner, a[1], in[1].floats(), b[1], 1.f, to + i * c[1], c[1]);
    }

private:
    // Values of a matrix that stays in a core's own cache.
    static constexpr dnnl_dim_t SMALL = 1 << 14;
    bool transpose_a, transpose_b;
};

// The sum over all axes but the last.
class SumRows : public Operation {
public:
    explicit SumRows(const Settings &) {}

    Arguments inputs(size_t) const override { return {{4, 2}}; }
    std::vector<bool> pictures(size_t) const override { return {false}; }

    std::vector<Shape> output_shapes(const Tensors &in) override { return {{in[0].shape.back()}}; }

    void run(const Tensors &in, const Tensors &out) override {
        const dnnl_dim_t columns = out[0].size(), rows = columns ? in[0].size() / columns : 0;
        const float *from = in[0].floats();
        for (dnnl_dim_t c = 0; c < columns; ++c) {
            double sum = 0;
            for (dnnl_dim_t r = 0; r < rows; ++r) sum += from[r * columns + c];
            out[0].floats()[c] = float(sum);
        }
    }
};

// exp(x) / sum(exp(x)) for every row of a matrix.
class Softmax : public Operation {
public:
    explicit Softmax(const Settings &) {}

    Arguments inputs(size_t) const override { return {{4, 2}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override { return {in[0].shape}; }

    void run(const Tensors &in, const Tensors &out) override {
        const dnnl_dim_t columns = in[0].shape[1];
        in_parallel(in[0].shape[0], columns * 16, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t row = first; row < last; ++row) {
                const float *from = in[0].floats() + row * columns;
                float *to = out[0].floats() + row * columns;
                float largest = columns ? from[0] : 0.f, sum = 0;
                for (dnnl_dim_t c = 1; c < columns; ++c) largest = std::max(largest, from[c]);
                for (dnnl_dim_t c = 0; c < columns; ++c) sum += to[c] = std::exp(from[c] - largest);
                for (dnnl_dim_t c = 0; c < columns; ++c) to[c] /= sum;
            }
        });
    }
};

// Inputs y = softmax(x) and its gradient g: y * (g - sum(g * y)).
class SoftmaxGradient : public Operation {
public:
    explicit SoftmaxGradient(const Settings &) {}

    Arguments inputs(size_t) const override { return {{4, 2}, {4, 2}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        require_same_shape(in[0], in[1], "the output and its gradient");
        return {in[0].shape};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const dnnl_dim_t columns = in[0].shape[1];
        in_parallel(in[0].shape[0], columns * 4, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t row = first; row < last; ++row) {
                const float *y = in[0].floats() + row * columns, *g = in[1].floats() + row * columns;
                float *to = out[0].floats() + row * columns, dot = 0;
                for (dnnl_dim_t c = 0; c < columns; ++c) dot += g[c] * y[c];
                for (dnnl_dim_t c = 0; c < columns; ++c) to[c] = y[c] * (g[c] - dot);
            }
        });
    }
};
