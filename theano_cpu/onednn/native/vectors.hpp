// Convolution of float32 numbers as products of small matrices that stay in registers, for AVX-512.
//
// oneDNN waits for each layer's weights, which come from beyond the caches of a core. Here they are fetched while the ones
// before them are multiplied: where a network takes one picture at a time, this is a quarter of a late layer's time. The
// order of the sums is that of the weights: it depends neither on the number of pictures, nor on that of the threads.
#pragma once
#include "direct.hpp"

#ifdef __AVX512F__
#define HAS_VECTORS 1

class VectorConvolution : public DirectConvolution {
public:
    static bool applies(const DirectShape &s) { return s.filters % (2 * lanes) == 0 && s.output_pixels() > 0; }
    // Whether it is faster than oneDNN: where there are few pixels for many weights, or few products for a pixel.
    static bool pays(const DirectShape &s) { return s.output_pixels() <= few_pixels || vectors_of(s) == 4; }

    // `slope` is that of the ReLU below zero; 1 is none.
    VectorConvolution(const DirectShape &shape, float slope)
        : shape(shape),
          slope(slope),
          vectors(vectors_of(shape)),
          panel(vectors * lanes),
          length(shape.kernel_columns * shape.channels),
          shares(shape, panel, sizeof(float), 8) {}

    const char *name() const override { return "direct:avx512"; }

    Shape weights_shape() const override { return {shape.filters / panel, shape.kernel_rows, length, panel}; }

    // Panels of filters, which are multiplied at once.
    void arrange_weights(const float *from, void *to) const override {
        const dnnl_dim_t taps = shape.kernel_rows * shape.kernel_columns, channels = shape.channels, wide = panel;
        float *all = static_cast<float *>(to);
        in_parallel(shape.filters / wide, taps * channels * wide, [=](dnnl_dim_t begin, dnnl_dim_t end) {
            for (dnnl_dim_t p = begin; p < end; ++p)
                for (dnnl_dim_t tap = 0; tap < taps; ++tap)
                    for (dnnl_dim_t c = 0; c < channels; ++c)
                        for (dnnl_dim_t f = 0; f < wide; ++f)
                            all[((p * taps + tap) * channels + c) * wide + f] =
                                from[((p * wide + f) * channels + c) * taps + tap];
        });
    }

    void run(const Arrays &all) const override {
        shares.run([&](Range rows, Range panels) { compute(rows, panels, all); });
    }

    bool has_rows() const override { return true; }
    void run_rows(Range rows, const Arrays &all) const override {
        const dnnl_dim_t pixels = shape.is_flat() ? shape.output_columns : 1;  // a share of a flat one is of pixels
        compute({rows.begin * pixels, rows.end * pixels}, {0, shape.filters / panel}, all);
    }

private:
    // A vector that lies anywhere.
    typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
    static constexpr int lanes = 16;
    // Weights are read once for so many pixels, whose sources and targets stay in the caches of a core.
    static constexpr dnnl_dim_t block_pixels = 112;
    // As of a picture of 28 rows and columns.
    static constexpr dnnl_dim_t few_pixels = 800;

    // Of filters that are multiplied at once. The sums of a tile fill most of the 32 registers: four vectors of six pixels
    // take fewer loads than two of fourteen, as long as the weights stay in the nearest cache.
    static int vectors_of(const DirectShape &s) {
        const dnnl_dim_t products = s.kernel_rows * s.kernel_columns * s.channels;
        return s.filters % (4 * lanes) || products > 160 ? 2 : 4;
    }

    void compute(Range rows, Range panels, const Arrays &all) const {
        if (shape.is_flat()) {
            const float *source = static_cast<const float *>(all.source);
            return compute_pixels(rows, panels, all, 0, [&](dnnl_dim_t i) { return source + i * shape.channels; });
        }
        SourceRows source(shape, static_cast<const float *>(all.source));
        const dnnl_dim_t columns = shape.output_columns;
        for (dnnl_dim_t row = rows.begin, some; row < rows.end; row += some) {
            some = source.fetch(row, rows.end);
            dnnl_dim_t i = 0, j = 0;
            compute_pixels({row * columns, (row + some) * columns}, panels, all, source.row(), [&](dnnl_dim_t) {
                const float *window = source.window(i, j);
                if (++j == columns) j = 0, ++i;
                return window;
            });
        }
    }

    // `next` gives the windows in their order.
    template <class Next>
    void compute_pixels(Range pixels, Range panels, const Arrays &all, dnnl_dim_t row, Next next) const {
        const float *windows[block_pixels];
        for (dnnl_dim_t first = pixels.begin; first < pixels.end; first += block_pixels) {
            const dnnl_dim_t count = std::min(block_pixels, pixels.end - first);
            for (dnnl_dim_t i = 0; i < count; ++i) windows[i] = next(first + i);
            compute_block(windows, row, {first, first + count}, panels, all);
        }
    }

    void compute_block(const float *const *windows, dnnl_dim_t row, Range pixels, Range panels, const Arrays &all) const {
        const dnnl_dim_t size = shape.kernel_rows * length * panel, count = pixels.end - pixels.begin;
        for (dnnl_dim_t p = panels.begin; p < panels.end; ++p) {
            const float *weights = static_cast<const float *>(all.weights) + p * size;
            // Memory to be fetched meanwhile, in steps of so many bytes
            const char *next = reinterpret_cast<const char *>(p + 1 < panels.end ? weights + size : weights);
            const dnnl_dim_t step = panel * dnnl_dim_t(sizeof(float)) / std::max<dnnl_dim_t>(1, count * vectors / 26);
            for (dnnl_dim_t i = 0; i < count;) {
                const dnnl_dim_t offset = (pixels.begin + i - all.first) * shape.filters + p * panel;
                const Tile tile{windows + i,
                                row,
                                shape.kernel_rows,
                                length,
                                shape.filters,
                                weights,
                                all.bias ? all.bias + p * panel : nullptr,
                                all.residual ? static_cast<const float *>(all.residual) + offset : nullptr,
                                static_cast<float *>(all.target) + offset,
                                slope,
                                next,
                                step};
                next += step * shape.kernel_rows * length;
                i += vectors == 4 ? multiply<6, 4>(tile, count - i) : multiply<14, 2>(tile, count - i);
            }
        }
    }

    // Some pixels and filters.
    struct Tile {
        const float *const *windows;
        dnnl_dim_t row, rows, length, filters;
        const float *weights, *bias, *residual;
        float *target;
        float slope;
        const char *next;
        dnnl_dim_t step;
    };

    // Compute as many pixels as are left, but for a tile's; return how many they were.
    template <int most, int vectors>
    static int multiply(const Tile &tile, dnnl_dim_t left) {
        if (left >= most) return multiply_all<most, vectors>(tile);
        if (left >= most / 2) return multiply_all<most / 2, vectors>(tile);
        return multiply_all<1, vectors>(tile);
    }

    template <int count, int vectors>
    static __attribute__((noinline)) int multiply_all(const Tile &tile) {
        Vector sums[count][vectors];
        const float *windows[count];
        const dnnl_dim_t filters = tile.filters;
        // Registers are given to what loops do not index by numbers that are unknown
#pragma GCC unroll 14
        for (int i = 0; i < count; ++i) {
            windows[i] = tile.windows[i];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sums[i][v] = Vector{};
        }
        if (tile.residual)
            for (int i = 0; i < count; ++i)
                for (int v = 0; v < vectors; ++v) __builtin_prefetch(tile.residual + i * filters + v * lanes, 1, 3);
        const float *weights = tile.weights;
        const char *next = tile.next;
        for (dnnl_dim_t row = 0; row < tile.rows; ++row) {
            for (dnnl_dim_t k = 0; k < tile.length; ++k, weights += vectors * lanes, next += tile.step) {
                Vector some[vectors];
                __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; ++v) {
                    some[v] = load(weights + v * lanes);
                    __builtin_prefetch(weights + (v + 32) * lanes, 0, 3);
                }
#pragma GCC unroll 14
                for (int i = 0; i < count; ++i) {
                    const float value = windows[i][k];
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; ++v) sums[i][v] += value * some[v];
                }
            }
#pragma GCC unroll 14
            for (int i = 0; i < count; ++i) windows[i] += tile.row;
        }
        const Vector slope = Vector{} + tile.slope;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            const Vector bias = tile.bias ? load(tile.bias + v * lanes) : Vector{};
            const float *residual = tile.residual + v * lanes;
            float *target = tile.target + v * lanes;
#pragma GCC unroll 14
            for (int i = 0; i < count; ++i) {
                Vector sum = sums[i][v] + bias;
                if (tile.residual) sum += load(residual + i * filters);
                store(target + i * filters, rectified(sum, slope));
            }
        }
        return count;
    }

    static Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }
    static void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

    DirectShape shape;
    float slope;
    int vectors;
    dnnl_dim_t panel;   // filters that are multiplied at once
    dnnl_dim_t length;  // of a row of a window
    Shares shares;
};

#endif
