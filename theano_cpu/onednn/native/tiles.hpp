// Convolution of single pixels, of bfloat16 numbers, by the tiles of AMX: sixteen pixels by sixteen filters in a register.
//
// Sums are float32, and become bfloat16 in the nearest cache, with the bias, the residual and the ReLU. As in vectors.hpp,
// weights are fetched while those before them are multiplied.
#pragma once
#include "direct.hpp"
#include "elementwise.hpp"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define HAS_TILES 1
#include <sys/syscall.h>
#include <unistd.h>

class TileConvolution : public DirectConvolution {
public:
    static bool applies(const DirectShape &s) {
        const bool is_whole = s.filters % panel == 0 && s.channels % (2 * steps_of(s)) == 0;
        return s.is_flat() && is_whole && s.output_pixels() > 0 && is_permitted();
    }
    // Whether it is faster than oneDNN: where weights are all that takes time.
    static bool pays(const DirectShape &s) { return s.output_pixels() <= few_pixels; }

    // `slope` is that of the ReLU below zero; 1 is none.
    TileConvolution(const DirectShape &shape, float slope)
        : shape(shape),
          slope(slope),
          steps(steps_of(shape)),
          width(shape.channels / steps),
          shares(shape, panel, sizeof(uint16_t), 64) {}

    const char *name() const override { return "direct:amx"; }

    Shape weights_shape() const override { return {shape.filters / panel, steps, width, panel}; }

    // Panels of filters, of which each row of a tile has two numbers of sixteen filters.
    void arrange_weights(const float *from, void *to) const override {
        uint16_t *all = static_cast<uint16_t *>(to);
        const dnnl_dim_t channels = shape.channels, size = channels * panel, step = width * panel, half = width * 16;
        in_parallel(shape.filters / panel, size, [=](dnnl_dim_t begin, dnnl_dim_t end) {
            for (dnnl_dim_t i = begin * size; i < end * size; ++i) {
                const dnnl_dim_t filter = i / size * panel + i / half % 2 * 16 + i / 2 % 16;
                const dnnl_dim_t channel = i % size / step * (step / panel) + i % half / 32 * 2 + i % 2;
                all[i] = Narrowed()(from[filter * channels + channel]);
            }
        });
    }

    void run(const Arrays &all) const override {
        shares.run([&](Range pixels, Range panels) { compute(pixels, panels, all); });
    }

private:
    typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
    typedef uint32_t Words __attribute__((vector_size(64)));
    typedef uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));
    typedef uint16_t AllHalves __attribute__((vector_size(64), aligned(2), may_alias));

    // Filters of two tiles, and what a row of a tile can have of pixels and of a pixel's numbers.
    static constexpr dnnl_dim_t panel = 32, most_pixels = 16, most_numbers = 32;
    // As of a picture of 14 rows and columns.
    static constexpr dnnl_dim_t few_pixels = 200;
    // Strips of pixels that one panel of weights is read for.
    static constexpr dnnl_dim_t block_strips = 8;

    static dnnl_dim_t steps_of(const DirectShape &s) { return (s.channels + most_numbers - 1) / most_numbers; }

    // Linux gives tiles to processes that ask for them.
    static bool is_permitted() {
        constexpr int request = 0x1023, tile_data = 18;
        static const bool permitted = !syscall(SYS_arch_prctl, request, tile_data);
        return permitted;
    }

    // Tiles 0 to 3 are sums, 4 and 5 pixels, 6 and 7 weights.
    class Tiles {
    public:
        Tiles(dnnl_dim_t pixels, dnnl_dim_t width) {
            for (int i = 0; i < 8; ++i) {
                config.bytes[i] = uint16_t(i == 4 || i == 5 ? 2 * width : 64);
                config.rows[i] = uint8_t(i > 5 ? width / 2 : pixels);
            }
            asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
        }
        ~Tiles() { asm volatile("tilerelease"); }

    private:
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } config;
    };

    // Pixels, of which the first ones may have been computed before.
    struct Strip {
        dnnl_dim_t pixel, done;
    };

    // All strips have one length, which the tiles are made for: the last one may begin before the end of the one before it.
    void compute(Range pixels, Range panels, const Arrays &all) const {
        const dnnl_dim_t left = pixels.end - pixels.begin, count = (left + most_pixels - 1) / most_pixels;
        const dnnl_dim_t length = (left + count - 1) / count;
        const Tiles tiles(length, width);
        Strip strips[block_strips];
        for (dnnl_dim_t i = 0; i < count;) {
            dnnl_dim_t some = 0;
            for (; some < block_strips && i < count; ++i, ++some) {
                const dnnl_dim_t first = std::min(i * length, left - length);
                strips[some] = {pixels.begin + first, i * length - first};
            }
            // One that is computed for nothing, where the other tiles of pixels would have none
            if (some % 2) strips[some] = {strips[some - 1].pixel, length};
            compute_block(strips, some + some % 2, length, panels, all);
        }
    }

    void compute_block(const Strip *strips, dnnl_dim_t count, dnnl_dim_t length, Range panels, const Arrays &all) const {
        const dnnl_dim_t size = shape.channels * panel, lines = (width + count / 2 - 1) / (count / 2);
        const uint16_t *source = static_cast<const uint16_t *>(all.source);
        alignas(64) float sums[2][most_pixels][panel];
        for (dnnl_dim_t p = panels.begin; p < panels.end; ++p) {
            const uint16_t *weights = static_cast<const uint16_t *>(all.weights) + p * size;
            const char *next = reinterpret_cast<const char *>(p + 1 < panels.end ? weights + size : weights);
            for (dnnl_dim_t i = 0; i < count; i += 2) {
                multiply(source + strips[i].pixel * shape.channels, source + strips[i + 1].pixel * shape.channels, weights,
                         sums[0][0], next, lines);
                next += steps * lines * line_bytes;
                for (int k = 0; k < 2; ++k) finish(sums[k][0], strips[i + k], length, p * panel, all);
            }
        }
    }

    // `next` is memory to be fetched meanwhile, some lines at each step.
    void multiply(const uint16_t *first, const uint16_t *second, const uint16_t *weights, float *sums, const char *next,
                  dnnl_dim_t lines) const {
        asm volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" ::: "memory");
        for (dnnl_dim_t step = 0; step < steps; ++step, first += width, second += width, weights += width * panel) {
            asm volatile(
                "tileloadd (%0,%4,1), %%tmm4\n\t"
                "tileloadd (%2,%5,1), %%tmm6\n\t"
                "tileloadd (%1,%4,1), %%tmm5\n\t"
                "tileloadd (%3,%5,1), %%tmm7\n\t"
                "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
                "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\t"
                "tdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::"r"(first),
                "r"(second), "r"(weights), "r"(weights + width * 16), "r"(2 * shape.channels), "r"(line_bytes));
            for (dnnl_dim_t line = 0; line < lines; ++line, next += line_bytes) __builtin_prefetch(next, 0, 2);
        }
        asm volatile(
            "tilestored %%tmm0, (%0,%2,1)\n\t"
            "tilestored %%tmm1, 64(%0,%2,1)\n\t"
            "tilestored %%tmm2, (%1,%2,1)\n\t"
            "tilestored %%tmm3, 64(%1,%2,1)" ::"r"(sums),
            "r"(sums + most_pixels * panel), "r"(dnnl_dim_t(panel * sizeof(float)))
            : "memory");
    }

    void finish(const float *sums, const Strip &strip, dnnl_dim_t length, dnnl_dim_t column, const Arrays &all) const {
        // What is written might change these, for all that a compiler knows
        const dnnl_dim_t filters = shape.filters, at = strip.pixel * filters + column;
        const uint16_t *residual = all.residual ? static_cast<const uint16_t *>(all.residual) + at : nullptr;
        uint16_t *target = static_cast<uint16_t *>(all.target) + at;
        const Vector below = Vector{} + slope;
        const Vector bias[2] = {all.bias ? load(all.bias + column) : Vector{},
                                all.bias ? load(all.bias + column + 16) : Vector{}};
        for (dnnl_dim_t i = strip.done; i < length; ++i) {
            Vector first = load(sums + i * panel) + bias[0], second = load(sums + i * panel + 16) + bias[1];
            if (residual) {
                first += widened(residual + i * filters);
                second += widened(residual + i * filters + 16);
            }
            store(target + i * filters, rectified(first, below), rectified(second, below));
        }
    }

    static Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }

    static Vector widened(const uint16_t *from) {
        const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves *>(from), Words) << 16;
        return reinterpret_cast<const Vector &>(bits);
    }

    static void store(uint16_t *to, Vector first, Vector second) {
        AllHalves rounded;
        asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(rounded) : "v"(first), "v"(second));
        *reinterpret_cast<AllHalves *>(to) = rounded;
    }

    static constexpr dnnl_dim_t line_bytes = 64;

    DirectShape shape;
    float slope;
    dnnl_dim_t steps, width;  // of a pixel, and how many of its numbers each takes
    Shares shares;
};

#endif
