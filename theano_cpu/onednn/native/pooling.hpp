// Pooling over windows, subsampling and the mean over a whole picture; and their gradients. Loops over channels are
// innermost and plain: compilers turn them into vector instructions.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "elementwise.hpp"
#include "operation.hpp"

enum class PoolMode { maximum, average_with_padding, average_without_padding };

// The windows along one axis.
struct Windows {
    dnnl_dim_t size, stride, pad, inputs, outputs;

    Windows(dnnl_dim_t size, dnnl_dim_t stride, dnnl_dim_t pad, dnnl_dim_t inputs, bool ceil)
        : size(size), stride(stride), pad(pad), inputs(inputs) {
        dnnl_dim_t room = inputs + 2 * pad - size;
        if (ceil) {
            outputs = std::max<dnnl_dim_t>(room + stride - 1, 0) / stride + 1;
            // A window must begin inside the picture or the padding before it.
            while (outputs > 1 && (outputs - 1) * stride >= inputs + pad) --outputs;
        } else {
            outputs = room < 0 ? 0 : room / stride + 1;
        }
    }
    dnnl_dim_t begin(dnnl_dim_t window) const { return std::max<dnnl_dim_t>(window * stride - pad, 0); }
    dnnl_dim_t end(dnnl_dim_t window) const { return std::min(window * stride - pad + size, inputs); }
    // What an average divides by: cells of the picture, or of the picture and its padding.
    dnnl_dim_t cells(dnnl_dim_t window, bool padding) const {
        if (!padding) return end(window) - begin(window);
        return std::min(window * stride + size, inputs + 2 * pad) - window * stride;
    }
};

struct PoolSettings {
    Pair size, stride, pad;
    PoolMode mode;
    bool ceil;

    explicit PoolSettings(const Settings &settings)
        : size(pair(settings, "size", 1)),
          stride(pair(settings, "stride", 1)),
          pad(pair(settings, "pad", 0)),
          mode(static_cast<PoolMode>(integer(settings, "mode"))),
          ceil(integer(settings, "ceil")) {
        require(pad.rows < size.rows && pad.columns < size.columns, "the padding is as large as the window");
        require(mode <= PoolMode::average_without_padding, "there is no such mode");
    }

    Windows rows(const Shape &x) const { return Windows(size.rows, stride.rows, pad.rows, x[1], ceil); }
    Windows columns(const Shape &x) const { return Windows(size.columns, stride.columns, pad.columns, x[2], ceil); }

    Shape output_shape(const Shape &x) const {
        Shape y{x[0], rows(x).outputs, columns(x).outputs, x[3]};
        require(x[1] > 0 && x[2] > 0 && y[1] > 0 && y[2] > 0, "input " + text(x) + " is smaller than the window");
        return y;
    }
    float weight(const Windows &rows, dnnl_dim_t i, const Windows &columns, dnnl_dim_t j) const {
        bool padding = mode == PoolMode::average_with_padding;
        return 1.f / float(rows.cells(i, padding) * columns.cells(j, padding));
    }
};

class Pool : public Operation, public ByRows {
public:
    explicit Pool(const Settings &settings) : pool(settings), is_narrow(integer(settings, "bfloat16")) {
        require(!is_narrow || pool.mode == PoolMode::maximum, "an average of bfloat16 numbers is none itself");
    }

    Arguments inputs(size_t) const override { return {{is_narrow ? 2 : 4, 4}}; }
    std::vector<int> output_widths() const override { return {is_narrow ? 2 : 4}; }

    std::vector<Shape> output_shapes(const Tensors &in) override { return {pool.output_shape(in[0].shape)}; }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape, &y = out[0].shape;
        const size_t width = is_narrow ? 2 : 4, row_bytes = width * x[2] * x[3];
        in_parallel(y[0] * y[1], y[2] * x[3] * pool.size.rows, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t row = first; row < last; ++row) {
                const dnnl_dim_t top = row / y[1] * x[1] + rows_for(x, row % y[1]).first;
                make_row(x, row % y[1], static_cast<const char *>(in[0].data) + top * row_bytes,
                         static_cast<char *>(out[0].data) + row * width * y[2] * y[3]);
            }
        });
    }

    std::pair<dnnl_dim_t, dnnl_dim_t> rows_for(const Shape &x, dnnl_dim_t row) const override {
        const Windows rows = pool.rows(x);
        return {rows.begin(row), rows.end(row)};
    }

    void make_row(const Shape &x, dnnl_dim_t row, const void *from, void *to) const override {
        if (is_narrow)
            make_row_with(static_cast<const uint16_t *>(from), static_cast<uint16_t *>(to), x, row, Larger());
        else if (pool.mode == PoolMode::maximum)
            make_row_with(static_cast<const float *>(from), static_cast<float *>(to), x, row, Larger());
        else
            make_row_with(static_cast<const float *>(from), static_cast<float *>(to), x, row, std::plus<float>());
    }

private:
    // First the rows of the windows become one, and then its columns: long loops, and each value is read once or twice.
    template <class Value, class Combine>
    void make_row_with(const Value *from, Value *to, const Shape &x, dnnl_dim_t row, Combine combined) const {
        const Windows rows = pool.rows(x), columns = pool.columns(x);
        const dnnl_dim_t channels = x[3], width = x[2] * channels;
        const Block<float> line = block<float>(width);
        fold(line.get(), from, width, rows.end(row) - rows.begin(row), width, 1.f, combined);
        for (dnnl_dim_t j = 0; j < columns.outputs; ++j) {
            const float *left = line.get() + columns.begin(j) * channels;
            const float weight = pool.mode == PoolMode::maximum ? 1.f : pool.weight(rows, row, columns, j);
            fold(to + j * channels, left, channels, columns.end(j) - columns.begin(j), channels, weight, combined);
        }
    }

    // The second comparison lets a NaN win, and stay.
    struct Larger {
        float operator()(float a, float b) const { return (b > a) | (b != b) ? b : a; }
    };

    static float get(float value) { return value; }
    static float get(uint16_t value) { return Widened()(value); }
    static void put(float &to, float value) { to = value; }
    // The largest of bfloat16 numbers is one, and loses nothing.
    static void put(uint16_t &to, float value) { to = Narrowed()(value); }

    // One array of some that are `distance` values apart.
    template <class To, class From, class Combine>
    static void fold(To *__restrict to, const From *__restrict from, dnnl_dim_t distance, dnnl_dim_t arrays,
                     dnnl_dim_t count, float weight, Combine combined) {
        if (arrays == 3) return fold_known(to, from, distance, std::integral_constant<dnnl_dim_t, 3>(), count, weight, combined);
        if (arrays == 2) return fold_known(to, from, distance, std::integral_constant<dnnl_dim_t, 2>(), count, weight, combined);
        fold_known(to, from, distance, arrays, count, weight, combined);
    }

    // A number of arrays that the compiler knows keeps what it has of them in registers.
    template <class To, class From, class Arrays, class Combine>
    static void fold_known(To *__restrict to, const From *__restrict from, dnnl_dim_t distance, Arrays arrays,
                           dnnl_dim_t count, float weight, Combine combined) {
        for (dnnl_dim_t c = 0; c < count; ++c) {
            float result = get(from[c]);
            for (dnnl_dim_t k = 1; k < arrays; ++k) result = combined(result, get(from[c + k * distance]));
            put(to[c], result * weight);
        }
    }

    PoolSettings pool;
    bool is_narrow;
};

// Inputs x, y = pool(x) and the gradient of y. Of several equal maxima the first receives the window's gradient, as in
// Caffe. (Theano gives it to each of them: what then comes out is no derivative in any direction, and flat parts of a
// picture are full of such ties.)
class PoolGradient : public Operation {
public:
    explicit PoolGradient(const Settings &settings) : pool(settings) {}

    Arguments inputs(size_t) const override { return {{4, 4}, {4, 4}, {4, 4}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        require_same_shape(in[1], in[2], "the output and its gradient");
        Shape y = pool.output_shape(in[0].shape);
        require(in[1].shape == y, "the output has shape " + text(in[1].shape) + ", expected " + text(y));
        return {in[0].shape};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape;
        const dnnl_dim_t height = x[1];
        // Each thread has rows of the input to itself. A window that reaches into the rows of two is looked at by both.
        in_parallel(x[0] * height, x[2] * x[3] * 4, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t n = first / height; n * height < last; ++n)
                run_rows(in, out, n, std::max(first - n * height, dnnl_dim_t(0)), std::min(last - n * height, height));
        });
    }

private:
    static constexpr dnnl_dim_t block = 16;

    // The rows of picture n from `top` to `bottom`, these excluded.
    void run_rows(const Tensors &in, const Tensors &out, dnnl_dim_t n, dnnl_dim_t top, dnnl_dim_t bottom) const {
        const Shape &x = in[0].shape, &y = in[1].shape;
        const Windows rows = pool.rows(x), columns = pool.columns(x);
        const dnnl_dim_t channels = x[3], picture = n * x[1] * x[2] * channels, row_size = x[2] * channels;
        std::fill_n(out[0].floats() + picture + top * row_size, (bottom - top) * row_size, 0.f);
        for (dnnl_dim_t i = 0; i < y[1]; ++i) {
            if (rows.end(i) <= top || rows.begin(i) >= bottom) continue;
            for (dnnl_dim_t j = 0; j < y[2]; ++j) {
                const Window window{rows.begin(i), std::min(rows.end(i), bottom), columns.begin(j), columns.end(j)};
                const dnnl_dim_t cell = ((n * y[1] + i) * y[2] + j) * channels;
                const bool maximum = pool.mode == PoolMode::maximum;
                const float weight = maximum ? 1.f : pool.weight(rows, i, columns, j);
                const Pixels pixels{in[0].floats() + picture, out[0].floats() + picture, row_size, channels, top};
                // A count that the compiler knows keeps a block of channels in registers.
                dnnl_dim_t begin = 0;
                for (; begin + block <= channels; begin += block)
                    run_window(window, pixels, begin, in[1].floats() + cell, in[2].floats() + cell, weight, maximum,
                               std::integral_constant<dnnl_dim_t, block>());
                if (begin < channels)
                    run_window(window, pixels, begin, in[1].floats() + cell, in[2].floats() + cell, weight, maximum,
                               channels - begin);
            }
        }
    }

    struct Window {
        dnnl_dim_t top, bottom, left, right;
    };
    struct Pixels {
        const float *x;
        float *gradient;
        dnnl_dim_t row_size, channels, first_row;
    };

    // The channels from `begin` on of one window, whose result is y and has the gradient gy.
    template <class Count>
    static void run_window(Window window, Pixels pixels, dnnl_dim_t begin, const float *y, const float *gy, float weight,
                           bool maximum, Count count) {
        float left[block], largest[block];
        for (dnnl_dim_t c = 0; c < count; ++c) {
            left[c] = gy[begin + c] * weight;
            largest[c] = y[begin + c];
        }
        // The maximum may have been found above the first row
        for (dnnl_dim_t u = maximum ? window.top : std::max(window.top, pixels.first_row); u < window.bottom; ++u)
            for (dnnl_dim_t v = window.left; v < window.right; ++v) {
                const dnnl_dim_t at = u * pixels.row_size + v * pixels.channels + begin;
                if (!maximum)
                    for (dnnl_dim_t c = 0; c < count; ++c) pixels.gradient[at + c] += left[c];
                else if (u < pixels.first_row)
                    take_where_equal(left, pixels.x + at, largest, count);
                else
                    move_where_equal(pixels.gradient + at, left, pixels.x + at, largest, count);
            }
    }

    template <class Count>
    static void take_where_equal(float *__restrict left, const float *__restrict x, const float *__restrict largest,
                                 Count count) {
#pragma omp simd
        for (dnnl_dim_t c = 0; c < count; ++c) left[c] = x[c] == largest[c] ? 0.f : left[c];
    }

    template <class Count>
    static void move_where_equal(float *__restrict target, float *__restrict left, const float *__restrict x,
                                 const float *__restrict largest, Count count) {
#pragma omp simd
        for (dnnl_dim_t c = 0; c < count; ++c) {
            const float moved = x[c] == largest[c] ? left[c] : 0.f;
            target[c] += moved;
            left[c] -= moved;
        }
    }
    PoolSettings pool;
};

// x[:, ::rows, ::columns, :] of values that are `width` bytes wide.
class Subsample : public Operation {
public:
    explicit Subsample(const Settings &settings)
        : step(pair(settings, "step", 1)), width(integer(settings, "bfloat16") ? 2 : 4) {}

    Arguments inputs(size_t) const override { return {{int(width), 4}}; }
    std::vector<int> output_widths() const override { return {int(width)}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &x = in[0].shape;
        return {{x[0], (x[1] + step.rows - 1) / step.rows, (x[2] + step.columns - 1) / step.columns, x[3]}};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape, &y = out[0].shape;
        const dnnl_dim_t pixel = x[3] * width;
        in_parallel(y[0] * y[1], y[2] * x[3], [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t row = first; row < last; ++row) {
                const char *from = static_cast<const char *>(in[0].data) +
                                   (row / y[1] * x[1] + row % y[1] * step.rows) * x[2] * pixel;
                char *to = static_cast<char *>(out[0].data) + row * y[2] * pixel;
                for (dnnl_dim_t j = 0; j < y[2]; ++j)
                    std::memcpy(to + j * pixel, from + j * step.columns * pixel, pixel);
            }
        });
    }

private:
    Pair step;
    dnnl_dim_t width;
};

// Inputs x (only its shape is used) and the gradient of the subsample.
class SubsampleGradient : public Operation {
public:
    explicit SubsampleGradient(const Settings &settings)
        : step(pair(settings, "step", 1)), x_width(integer(settings, "narrow_x") ? 2 : 4) {}

    Arguments inputs(size_t) const override { return {{x_width, 4}, {4, 4}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &x = in[0].shape;
        Shape y{x[0], (x[1] + step.rows - 1) / step.rows, (x[2] + step.columns - 1) / step.columns, x[3]};
        require(in[1].shape == y, "the output's gradient has shape " + text(in[1].shape) + ", expected " + text(y));
        return {x};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape, &y = in[1].shape;
        const dnnl_dim_t channels = x[3];
        in_parallel(x[0] * x[1], x[2] * channels, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t row = first; row < last; ++row) {
                dnnl_dim_t picture = row / x[1], u = row % x[1];
                float *to = out[0].floats() + row * x[2] * channels;
                std::memset(to, 0, x[2] * channels * sizeof(float));
                if (u % step.rows) continue;
                const float *from = in[1].floats() + (picture * y[1] + u / step.rows) * y[2] * channels;
                for (dnnl_dim_t j = 0; j < y[2]; ++j)
                    std::memcpy(to + j * step.columns * channels, from + j * channels, channels * sizeof(float));
            }
        });
    }

private:
    Pair step;
    int x_width;
};

// Mean over rows and columns: (N, H, W, C), which may be bfloat16, to (N, C).
class GlobalPool : public Operation {
public:
    explicit GlobalPool(const Settings &settings) : is_narrow(integer(settings, "bfloat16")) {}

    Arguments inputs(size_t) const override { return {{is_narrow ? 2 : 4, 4}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &x = in[0].shape;
        require(x[1] > 0 && x[2] > 0, "input " + text(x) + " has no pixels");
        return {{x[0], x[3]}};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape;
        if (is_narrow)
            run_as(in[0].halves(), out[0].floats(), x[0], x[1] * x[2], x[3], Widened());
        else
            run_as(in[0].floats(), out[0].floats(), x[0], x[1] * x[2], x[3], Same());
    }

private:
    // Channels whose sums a thread keeps in registers.
    static constexpr dnnl_dim_t block = 64;

    template <class Value, class Convert>
    static void run_as(const Value *from, float *to, dnnl_dim_t count, dnnl_dim_t pixels, dnnl_dim_t channels,
                       Convert converted) {
        const dnnl_dim_t blocks = (channels + block - 1) / block;
        in_parallel(count * blocks, pixels * block, [=](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t i = first; i < last; ++i) {
                const dnnl_dim_t begin = i % blocks * block, width = std::min(block, channels - begin);
                const Value *values = from + i / blocks * pixels * channels + begin;
                float *means = to + i / blocks * channels + begin;
                if (width == block)
                    average(values, means, pixels, channels, converted, std::integral_constant<dnnl_dim_t, block>());
                else
                    average(values, means, pixels, channels, converted, width);
            }
        });
    }

    template <class Value, class Convert, class Count>
    static void average(const Value *__restrict values, float *__restrict means, dnnl_dim_t pixels, dnnl_dim_t channels,
                        Convert converted, Count count) {
        float sums[block] = {};
        for (dnnl_dim_t p = 0; p < pixels; ++p)
#pragma omp simd
            for (dnnl_dim_t c = 0; c < count; ++c) sums[c] += converted(values[p * channels + c]);
        for (dnnl_dim_t c = 0; c < count; ++c) means[c] = sums[c] / float(pixels);
    }

    bool is_narrow;
};

// Inputs x (only its shape is used) and the gradient of the mean.
class GlobalPoolGradient : public Operation {
public:
    explicit GlobalPoolGradient(const Settings &settings) : x_width(integer(settings, "narrow_x") ? 2 : 4) {}

    Arguments inputs(size_t) const override { return {{x_width, 4}, {4, 2}}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        const Shape &x = in[0].shape;
        require((in[1].shape == Shape{x[0], x[3]}),
                "the output's gradient has shape " + text(in[1].shape) + ", expected " + text({x[0], x[3]}));
        return {x};
    }

    void run(const Tensors &in, const Tensors &out) override {
        const Shape &x = in[0].shape;
        const dnnl_dim_t pixels = x[1] * x[2], channels = x[3];
        const float share = 1.f / float(pixels);
        in_parallel(x[0] * pixels, channels, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t p = first; p < last; ++p) {
                const float *__restrict from = in[1].floats() + p / pixels * channels;
                float *__restrict to = out[0].floats() + p * channels;
                for (dnnl_dim_t c = 0; c < channels; ++c) to[c] = from[c] * share;
            }
        });
    }

private:
    int x_width;
};
