// What this module's own convolutions have in common: shapes, the shares of threads, and rows with what is beside them.
#pragma once
#include <algorithm>
#include <cstring>

#include "operation.hpp"

// What is needed to know of a convolution without groups and dilation; channels are last.
struct DirectShape {
    dnnl_dim_t pictures, rows, columns, channels;
    dnnl_dim_t kernel_rows, kernel_columns, filters;
    dnnl_dim_t output_rows, output_columns;
    Pair stride, pad;

    bool is_padded() const { return pad.rows || pad.columns; }
    // Whether each output is made of one pixel, in their order. Where rows end is of no importance then.
    bool is_flat() const {
        return kernel_rows * kernel_columns == 1 && !is_padded() && stride.rows == 1 && stride.columns == 1;
    }
    dnnl_dim_t output_pixels() const { return pictures * output_rows * output_columns; }
};

// `bias` and `residual` may be null; `residual` may be `target`. `target` begins with the pixel `first`.
struct Arrays {
    const void *source, *weights;
    const float *bias;
    const void *residual;
    void *target;
    dnnl_dim_t first = 0;
};

// The ReLU of a vector, with slopes below zero. As in oneDNN, all but positive numbers become zero if the slope is zero:
// what is not a number too.
template <class Vector>
Vector rectified(Vector value, Vector slope) {
    return value > 0 ? value : slope == 0 ? Vector{} : value * slope;
}

struct Range {
    dnnl_dim_t begin, end;
};

class DirectConvolution {
public:
    virtual ~DirectConvolution() = default;
    virtual const char *name() const = 0;
    // Of weights as run() takes them, and what puts them into this order from (filters, channels, rows, columns).
    virtual Shape weights_shape() const = 0;
    virtual void arrange_weights(const float *from, void *to) const = 0;
    // On all threads.
    virtual void run(const Arrays &all) const = 0;
    // Whether run_rows() can be called: of some rows of the output only, on this thread. Rows of all pictures have
    // consecutive numbers.
    virtual bool has_rows() const { return false; }
    virtual void run_rows(Range, const Arrays &) const {}
};

// Threads share the rows of the output (its pixels where it is flat), or the filters by panels of some, or both.
class Shares {
public:
    // What takes the least time is taken, if a core multiplies so many numbers while it reads one byte that another core
    // has written or that is in none of its caches. `width` is that of a value.
    Shares(const DirectShape &s, dnnl_dim_t panel, int width, double products_of_a_byte)
        : rows(s.is_flat() ? s.output_pixels() : s.pictures * s.output_rows), panels(s.filters / panel) {
        const dnnl_dim_t threads = omp_get_max_threads(), columns = s.is_flat() ? 1 : s.output_columns;
        const double window = double(s.kernel_rows * s.kernel_columns * s.channels), products = columns * window * panel;
        const double row_bytes = double(width * columns * s.stride.rows * s.stride.columns * s.channels);
        if (double(rows) * double(panels) * products < 32768) return;  // not worth waking them
        double least = 0;
        for (dnnl_dim_t by_panels = 1; by_panels <= std::min(threads, panels); ++by_panels) {
            const dnnl_dim_t by_rows = std::min(threads / by_panels, rows);
            const double some_rows = double((rows + by_rows - 1) / by_rows);
            const double some_panels = double((panels + by_panels - 1) / by_panels);
            const double bytes = some_rows * row_bytes + some_panels * width * window * panel;
            const double cost = some_rows * some_panels * products + products_of_a_byte * bytes;
            if (by_panels > 1 && cost >= least) continue;
            least = cost;
            row_parts = by_rows;
            panel_parts = by_panels;
        }
    }

    // Calls function(rows, panels) for each share, on the threads.
    template <class Function>
    void run(Function function) const {
        const dnnl_dim_t parts = row_parts * panel_parts;
        // Never fewer threads than oneDNN takes: libgomp ends those that are left over, and starts them anew
#pragma omp parallel if (parts > 1)
        for (dnnl_dim_t part = omp_get_thread_num(); part < parts; part += omp_get_num_threads())
            function(cut(rows, part / panel_parts, row_parts), cut(panels, part % panel_parts, panel_parts));
    }

private:
    static Range cut(dnnl_dim_t count, dnnl_dim_t part, dnnl_dim_t parts) {
        return {count * part / parts, count * (part + 1) / parts};
    }

    dnnl_dim_t rows, panels, row_parts = 1, panel_parts = 1;
};

// The windows of some rows of the output: in the source itself, or, where they are not all there, in a copy with zeros.
class SourceRows {
public:
    SourceRows(const DirectShape &shape, const float *source)
        : shape(shape), source(source), length((shape.columns + 2 * shape.pad.columns) * shape.channels) {}

    // Makes windows of the output's rows from `row` on, of `end` at most; returns of how many. Rows of all pictures have
    // consecutive numbers.
    dnnl_dim_t fetch(dnnl_dim_t row, dnnl_dim_t end) {
        const dnnl_dim_t first = row % shape.output_rows, top = first * shape.stride.rows - shape.pad.rows;
        const float *picture = source + row / shape.output_rows * shape.rows * shape.columns * shape.channels;
        dnnl_dim_t count = std::min(end - row, shape.output_rows - first);
        if (!shape.is_padded()) {
            begin = picture + top * length;
            return count;
        }
        const dnnl_dim_t fitting = most_bytes / dnnl_dim_t(length * sizeof(float)) - shape.kernel_rows;
        count = std::max<dnnl_dim_t>(1, std::min(count, fitting / shape.stride.rows));
        begin = padded(picture, top, (count - 1) * shape.stride.rows + shape.kernel_rows);
        return count;
    }

    // Of a row that was fetched, counted from the first of them, and a column.
    const float *window(dnnl_dim_t row, dnnl_dim_t column) const {
        return begin + row * shape.stride.rows * length + column * shape.stride.columns * shape.channels;
    }
    // How many values are between the beginnings of a window's rows.
    dnnl_dim_t row() const { return length; }

private:
    // A part of the cache that a core has to itself.
    static constexpr dnnl_dim_t most_bytes = 1 << 18;

    const float *padded(const float *picture, dnnl_dim_t top, dnnl_dim_t count) const {
        const dnnl_dim_t side = shape.pad.columns * shape.channels, inner = shape.columns * shape.channels;
        float *all = scratch<SourceRows, float>(count * length), *to = all;
        for (dnnl_dim_t row = top; row < top + count; ++row, to += length) {
            const bool is_there = row >= 0 && row < shape.rows;
            std::fill_n(to, is_there ? side : length, 0.f);
            if (!is_there) continue;
            std::memcpy(to + side, picture + row * inner, inner * sizeof(float));
            std::fill_n(to + side + inner, side, 0.f);
        }
        return all;
    }

    const DirectShape &shape;
    const float *source, *begin = nullptr;
    dnnl_dim_t length;
};
