// Convolution and its two gradients. Pictures are (N, H, W, C), weights (O, C / groups, rows, columns).
#include <algorithm>
#include <cstring>

#include "operation.hpp"
#include "plans.hpp"
#include "primitive.hpp"
#include "tiles.hpp"
#include "vectors.hpp"

namespace {

struct Geometry {
    Pair stride, pad, dilation;
    dnnl_dim_t groups;

    explicit Geometry(const Settings &settings)
        : stride(pair(settings, "stride", 1)),
          pad(pair(settings, "pad", 0)),
          dilation(pair(settings, "dilation", 1)),
          groups(integer(settings, "groups", 1)) {}

    static dnnl_dim_t outputs(dnnl_dim_t size, dnnl_dim_t kernel, dnnl_dim_t stride, dnnl_dim_t pad,
                              dnnl_dim_t dilation) {
        dnnl_dim_t room = size + 2 * pad - dilation * (kernel - 1) - 1;
        return room < 0 ? 0 : room / stride + 1;
    }

    Shape output_shape(const Shape &x, const Shape &w) const {
        require(product(w) > 0, "weights " + text(w) + " have an axis of length 0");
        require(w[0] % groups == 0 && w[1] * groups == x[3],
                "input " + text(x) + " (N, H, W, C) and weights " + text(w) + " (O, C / groups, rows, columns) with " +
                    std::to_string(groups) + " group(s): expected C = " + std::to_string(w[1] * groups) +
                    " and O a multiple of the groups");
        Shape y{x[0], outputs(x[1], w[2], stride.rows, pad.rows, dilation.rows),
                outputs(x[2], w[3], stride.columns, pad.columns, dilation.columns), w[0]};
        require(y[1] > 0 && y[2] > 0, "input " + text(x) + " is smaller than the kernel of weights " + text(w));
        return y;
    }
};

inline Shape channels_first(const Shape &nhwc) { return {nhwc[0], nhwc[3], nhwc[1], nhwc[2]}; }

inline Shape grouped(const Shape &w, dnnl_dim_t groups) {
    return groups == 1 ? w : Shape{groups, w[0] / groups, w[1], w[2], w[3]};
}

inline DescHandle plain_weights(const Shape &dims, dnnl_data_type_t type = dnnl_f32) {
    return describe(dims, dims.size() == 5 ? dnnl_abcde : dnnl_abcd, type);
}

enum class Residual { none, in_place, separate };

// One convolution as oneDNN knows it: shapes are channels first, weights have five dimensions where there are groups.
struct ConvolutionSpec {
    Shape source, weights, target;
    Pair stride, dilation, pad_before, pad_after;
    bool bias = false;
    Residual residual = Residual::none;
    bool relu = false;
    float slope = 0;
    dnnl_data_type_t type = dnnl_f32;  // of what is multiplied
    bool wide = false;                 // whether the arrays are float32 all the same

    dnnl_data_type_t outside() const { return wide ? dnnl_f32 : type; }
};

// Two numbers as oneDNN reads them.
struct Dims {
    dnnl_dim_t values[2];
    explicit Dims(Pair pair) : values{pair.rows, pair.columns} {}
    operator const dnnl_dim_t *() const { return values; }
};

inline Dims dilates(const ConvolutionSpec &c) { return Dims({c.dilation.rows - 1, c.dilation.columns - 1}); }

inline Attributes attributes_of(const ConvolutionSpec &c, const_dnnl_memory_desc_t target) {
    Attributes attributes;
    DNNL(dnnl_primitive_attr_create, attributes.out());
    DNNL(dnnl_primitive_attr_set_scratchpad_mode, attributes, dnnl_scratchpad_mode_user);
    PostOps steps;
    DNNL(dnnl_post_ops_create, steps.out());
    if (c.residual == Residual::in_place) DNNL(dnnl_post_ops_append_sum, steps, 1.f, 0, dnnl_data_type_undef);
    if (c.residual == Residual::separate) DNNL(dnnl_post_ops_append_binary, steps, dnnl_binary_add, target);
    if (c.relu) DNNL(dnnl_post_ops_append_eltwise, steps, dnnl_eltwise_relu, c.slope, 0.f);
    DNNL(dnnl_primitive_attr_set_post_ops, attributes, steps);
    return attributes;
}

inline PrimitiveDesc forward_desc(const ConvolutionSpec &c, dnnl_format_tag_t layout) {
    DescHandle source = describe(c.source, layout, c.type), target = describe(c.target, layout, c.outside());
    DescHandle weights = describe(c.weights, dnnl_format_tag_any, c.type), bias;
    if (c.bias) bias = describe({c.target[1]}, dnnl_a);
    Attributes attributes = attributes_of(c, describe(c.target, dnnl_nhwc, c.outside()));
    PrimitiveDesc desc;
    dnnl_status_t status = dnnl_convolution_forward_primitive_desc_create(
        desc.out(), engine(), dnnl_forward_inference, dnnl_convolution_direct, source, weights, bias, target, Dims(c.stride),
        dilates(c), Dims(c.pad_before), Dims(c.pad_after), attributes);
    if (status != dnnl_unimplemented) check(status, "dnnl_convolution_forward_primitive_desc_create");
    return desc;
}

inline PrimitiveDesc backward_data_desc(const ConvolutionSpec &c, dnnl_format_tag_t layout) {
    ConvolutionSpec forward = c;
    forward.wide = false;
    PrimitiveDesc hint = forward_desc(forward, dnnl_format_tag_any), desc;
    if (!hint) return desc;
    Attributes attributes = attributes_of(c, nullptr);
    dnnl_status_t status = dnnl_convolution_backward_data_primitive_desc_create(
        desc.out(), engine(), dnnl_convolution_direct, describe(c.source, layout, c.outside()),
        describe(c.weights, dnnl_format_tag_any, c.type), describe(c.target, layout, c.type), Dims(c.stride), dilates(c), Dims(c.pad_before), Dims(c.pad_after), hint, attributes);
    if (status != dnnl_unimplemented) check(status, "dnnl_convolution_backward_data_primitive_desc_create");
    return desc;
}

inline PrimitiveDesc backward_weights_desc(const ConvolutionSpec &c, dnnl_format_tag_t layout) {
    PrimitiveDesc hint = forward_desc(c, dnnl_format_tag_any), desc;
    if (!hint) return desc;
    DescHandle bias;
    if (c.bias) bias = describe({c.target[1]}, dnnl_a);
    Attributes attributes = attributes_of(c, nullptr);
    dnnl_status_t status = dnnl_convolution_backward_weights_primitive_desc_create(
        desc.out(), engine(), dnnl_convolution_direct, describe(c.source, layout), describe(c.weights, dnnl_format_tag_any),
        bias, describe(c.target, layout), Dims(c.stride), dilates(c), Dims(c.pad_before), Dims(c.pad_after), hint, attributes);
    if (status != dnnl_unimplemented) check(status, "dnnl_convolution_backward_weights_primitive_desc_create");
    return desc;
}

// The first description that oneDNN has a fast implementation for; failing that, the first it has any for.
inline PrimitiveDesc fastest(std::initializer_list<std::function<PrimitiveDesc()>> makers) {
    PrimitiveDesc slow;
    for (const auto &make : makers) {
        PrimitiveDesc desc = make();
        if (!desc) continue;
        if (!is_reference(implementation(desc))) return desc;
        if (!slow) slow = std::move(desc);
    }
    if (!slow) throw DnnlError("oneDNN's convolution", dnnl_unimplemented);
    return slow;
}

// Arguments of run(): weights, source, target, then the bias and a separate residual where there are.
inline std::unique_ptr<Primitive> forward_primitive(PrimitiveDesc desc, const ConvolutionSpec &c, bool separate_residual) {
    DescHandle source = describe(c.source, dnnl_nhwc, c.outside()), target = describe(c.target, dnnl_nhwc, c.outside());
    std::unique_ptr<Primitive> primitive(new Primitive(std::move(desc)));
    primitive->add(DNNL_ARG_WEIGHTS, primitive->wanted(dnnl_query_weights_md));
    primitive->add(DNNL_ARG_SRC, primitive->wanted(dnnl_query_src_md), source, true, false);
    primitive->add(DNNL_ARG_DST, primitive->wanted(dnnl_query_dst_md), target, c.residual != Residual::none, true);
    if (c.bias) primitive->add(DNNL_ARG_BIAS, primitive->wanted(dnnl_query_weights_md, 1));
    if (separate_residual)
        primitive->add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, target);
    return primitive;
}

inline std::unique_ptr<Primitive> fastest_forward(const ConvolutionSpec &c) {
    return forward_primitive(
        fastest({[&] { return forward_desc(c, dnnl_nhwc); }, [&] { return forward_desc(c, dnnl_format_tag_any); }}), c,
        false);
}

// Weights in each form that primitives take them in, shared by the plans for inputs of all sizes.
class SharedWeights {
public:
    explicit SharedWeights(bool frozen) : frozen(frozen) {}

    // `transform`, where the form needs one, computes the array `desc` describes from weights of shape `w`.
    std::shared_ptr<Weights> get(const std::string &form, const Shape &w, DescHandle desc,
                                 Weights::Transform transform = nullptr) {
        if (shape != w) forms.clear();
        shape = w;
        std::shared_ptr<Weights> &weights = forms[form];
        if (!weights) weights = std::make_shared<Weights>(std::move(desc), frozen, std::move(transform));
        return weights;
    }

private:
    bool frozen;
    Shape shape;
    std::map<std::string, std::shared_ptr<Weights>> forms;
};

template <class Direct>
std::unique_ptr<DirectConvolution> made_if_it_pays(const DirectShape &shape, float slope, bool always) {
    if (!Direct::applies(shape) || !(always || Direct::pays(shape))) return nullptr;
    return std::unique_ptr<DirectConvolution>(new Direct(shape, slope));
}

// One of this module's own convolutions, or nothing where oneDNN's is the faster one, unless `always`.
inline std::unique_ptr<DirectConvolution> direct_convolution(const DirectShape &shape, bool bfloat16, float slope,
                                                             bool always) {
#if HAS_TILES
    if (bfloat16) return made_if_it_pays<TileConvolution>(shape, slope, always);
#endif
#if HAS_VECTORS
    if (!bfloat16) return made_if_it_pays<VectorConvolution>(shape, slope, always);
#endif
    return nullptr;
}

// relu(convolution(x, w) + b + residual), and a pooling of it perhaps.
class Convolution : public Operation {
public:
    explicit Convolution(const Settings &settings)
        : geometry(settings),
          has_bias(integer(settings, "bias")),
          has_residual(integer(settings, "residual")),
          relu(integer(settings, "relu")),
          slope(float(setting(settings, "negative_slope").at(0))),
          type(integer(settings, "bfloat16") ? dnnl_bf16 : dnnl_f32),
          is_frozen(integer(settings, "frozen_weights")),
          weights(is_frozen) {}

    Arguments inputs(size_t) const override {
        const int width = type == dnnl_bf16 ? 2 : 4;
        Arguments all{{width, 4}, {4, 4}};
        if (has_bias) all.push_back({4, 1});
        if (has_residual) all.push_back({width, 4});
        return all;
    }
    std::vector<int> output_widths() const override { return {type == dnnl_bf16 ? 2 : 4}; }
    std::vector<bool> pictures(size_t given) const override {
        std::vector<bool> read(given, false);
        read[0] = true;
        if (has_residual) read.back() = true;
        return read;
    }
    int replaced() const override { return has_residual ? 2 + has_bias : -1; }

    bool absorb(std::unique_ptr<Operation> &next) override {
        if (!is_frozen || has_residual || type != dnnl_f32 || pool || !dynamic_cast<ByRows *>(next.get())) return false;
        pool = std::move(next);
        return true;
    }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        Shape y = geometry.output_shape(in[0].shape, in[1].shape);
        if (has_bias)
            require(in[2].shape == Shape{y[3]}, "the bias has shape " + text(in[2].shape) + ", expected " + text({y[3]}));
        if (has_residual)
            require(in.back().shape == y, "the residual has shape " + text(in.back().shape) + ", expected " + text(y));
        return pool ? pool->output_shapes({{nullptr, y}}) : std::vector<Shape>{y};
    }

    void prepare(const Tensors &in, const Tensors &out) override {
        bool in_place = has_residual && in.back().data == out[0].data;
        Shape key = joined(joined(in[0].shape, in[1].shape), {in_place});
        plans.get(key, [&] { return make(in, in_place); });
    }

    void run(const Tensors &in, const Tensors &out) override {
        Plan &plan = *plans.last();
        if (!pool) return run_whole(plan, in, out[0]);
        if (plan.direct && plan.direct->has_rows()) return run_by_rows(plan, in, out[0]);
        const Tensor whole{scratch<Convolution, float>(product(plan.output)), plan.output};
        run_whole(plan, in, whole);
        pool->run({whole}, out);
    }

    std::vector<std::string> implementations() const override {
        if (!plans.last()) return {};
        return {plans.last()->direct ? plans.last()->direct->name() : plans.last()->primitive->implementation_name()};
    }

private:
    // One of oneDNN's primitives, or this module's own.
    struct Plan {
        std::unique_ptr<Primitive> primitive;
        std::shared_ptr<DirectConvolution> direct;
        std::shared_ptr<Weights> weights;
        Shape output;  // before the pooling
        bool separate_residual = false, copies_residual = false;
    };

    // What is pooled at a time stays in a cache that a core has to itself.
    static constexpr dnnl_dim_t most_pooled_bytes = 1 << 18;

    std::unique_ptr<Plan> make(const Tensors &in, bool in_place) {
        std::unique_ptr<Plan> plan(new Plan);
        plan->output = geometry.output_shape(in[0].shape, in[1].shape);
        ConvolutionSpec c{channels_first(in[0].shape), grouped(in[1].shape, geometry.groups), channels_first(plan->output),
                          geometry.stride, geometry.dilation, geometry.pad, geometry.pad};
        c.bias = has_bias;
        c.relu = relu;
        c.slope = slope;
        c.type = type;
        c.residual = has_residual ? Residual::in_place : Residual::none;
        plan->direct = make_direct(in, plan->output);
        if (const std::shared_ptr<DirectConvolution> direct = plan->direct) {
            plan->weights = weights.get(direct->name(), in[1].shape, plain_weights(direct->weights_shape(), type),
                                        [direct](const float *from, float *to) { direct->arrange_weights(from, to); });
            return plan;
        }
        plan->weights = weights.get("plain", in[1].shape, plain_weights(c.weights));
        if (has_residual && !in_place) {
            ConvolutionSpec separate = c;
            separate.residual = Residual::separate;
            PrimitiveDesc desc = forward_desc(separate, dnnl_nhwc);
            if (desc && !is_reference(implementation(desc))) {
                plan->separate_residual = true;
                plan->primitive = forward_primitive(std::move(desc), separate, true);
                return plan;
            }
            plan->copies_residual = true;
        }
        plan->primitive = fastest_forward(c);
        return plan;
    }

    // Weights that change would have to be arranged anew at each run.
    std::unique_ptr<DirectConvolution> make_direct(const Tensors &in, const Shape &y) const {
        const bool plain = geometry.groups == 1 && geometry.dilation.rows == 1 && geometry.dilation.columns == 1;
        if (!is_frozen || !plain) return nullptr;
        const Shape &x = in[0].shape, &w = in[1].shape;
        const DirectShape shape{x[0], x[1], x[2], x[3], w[2], w[3], w[0], y[1], y[2], geometry.stride, geometry.pad};
        return direct_convolution(shape, type == dnnl_bf16, relu ? slope : 1, bool(pool));
    }

    void run_whole(const Plan &plan, const Tensors &in, const Tensor &out) const {
        if (plan.direct) return plan.direct->run(arrays(plan, in, out.data));
        if (plan.copies_residual) copy_parallel(in.back(), out);
        void *data[5] = {plan.weights->in_layout(plan.primitive->wanted(dnnl_query_weights_md), in[1].floats()),
                         in[0].data, out.data};
        size_t count = 3;
        if (has_bias) data[count++] = in[2].data;
        if (plan.separate_residual) data[count++] = in.back().data;
        plan.primitive->run(data, count);
    }

    Arrays arrays(const Plan &plan, const Tensors &in, void *target) const {
        const void *arranged = plan.weights->in_layout(plan.weights->desc(), in[1].floats());
        return {in[0].data, arranged, has_bias ? in[2].floats() : nullptr, has_residual ? in.back().data : nullptr, target};
    }

    // Each thread computes some rows and pools them, then the next ones.
    void run_by_rows(const Plan &plan, const Tensors &in, const Tensor &out) const {
        const Shape &y = plan.output, &z = out.shape;
        const ByRows &pooling = dynamic_cast<const ByRows &>(*pool);
        const dnnl_dim_t width = type == dnnl_bf16 ? 2 : 4, y_row = width * y[2] * y[3], z_row = width * z[2] * z[3];
        const dnnl_dim_t some = std::max<dnnl_dim_t>(1, most_pooled_bytes / y_row * z[1] / y[1]);
        dnnl_dim_t most = 0;  // rows at once
        for (dnnl_dim_t i = 0; i < z[1]; ++i)
            most = std::max(most, pooling.rows_for(y, std::min(i + some, z[1]) - 1).second - pooling.rows_for(y, i).first);
        const Arrays all = arrays(plan, in, nullptr);
        in_parallel(z[0] * z[1], y_row * y[1] / z[1], [&](dnnl_dim_t row, dnnl_dim_t end) {
            RowBuffer buffer(y_row, most);
            for (dnnl_dim_t next; row < end; row = next) {
                const dnnl_dim_t picture = row / z[1], first = row % z[1];
                next = std::min({row + some, end, row + z[1] - first});
                const Range wanted{picture * y[1] + pooling.rows_for(y, first).first,
                                   picture * y[1] + pooling.rows_for(y, first + next - row - 1).second};
                const dnnl_dim_t missing = buffer.move_to(wanted);
                Arrays part = all;
                part.target = buffer.at(missing);
                part.first = missing * y[2];
                plan.direct->run_rows({missing, wanted.end}, part);
                for (dnnl_dim_t i = row; i < next; ++i)
                    pooling.make_row(y, i % z[1], buffer.at(picture * y[1] + pooling.rows_for(y, i % z[1]).first),
                                     static_cast<char *>(out.data) + i * z_row);
            }
        });
    }

    // Some consecutive rows of a picture.
    class RowBuffer {
    public:
        RowBuffer(size_t row_bytes, dnnl_dim_t most)
            : row_bytes(row_bytes), memory(scratch<RowBuffer, char>(row_bytes * most)) {}

        // Begins with other rows, and keeps those of them that are there; returns the first that is not.
        dnnl_dim_t move_to(Range wanted) {
            const bool keeps = wanted.begin >= rows.begin && wanted.begin < rows.end;
            const dnnl_dim_t missing = keeps ? std::min(rows.end, wanted.end) : wanted.begin;
            if (keeps) std::memmove(memory, at(wanted.begin), (missing - wanted.begin) * row_bytes);
            rows = wanted;
            return missing;
        }

        char *at(dnnl_dim_t row) const { return memory + (row - rows.begin) * row_bytes; }

    private:
        size_t row_bytes;
        char *memory;
        Range rows{0, 0};
    };

    void copy_parallel(const Tensor &from, const Tensor &to) const {
        size_t width = type == dnnl_bf16 ? 2 : 4;
        in_parallel(from.size(), 1, [&](dnnl_dim_t begin, dnnl_dim_t end) {
            std::memcpy(static_cast<char *>(to.data) + begin * width, static_cast<char *>(from.data) + begin * width,
                        (end - begin) * width);
        });
    }

    Geometry geometry;
    bool has_bias, has_residual, relu;
    float slope;
    dnnl_data_type_t type;
    bool is_frozen;
    std::unique_ptr<Operation> pool;
    SharedWeights weights;
    Plans<Plan> plans;
};

// Of one call: input, weights, output.
struct Shapes {
    Shape x, w, y;
};

// The gradient of a convolution with respect to its input, for one set of shapes. Each way to compute it is a primitive
// that is run on the gradient of the output and on the weights, in a form of its own.
class InputGradientStrategy {
public:
    virtual ~InputGradientStrategy() = default;
    // `gy` is the gradient of the output, `gx` that of the input.
    virtual void run(const Tensor &w, const Tensor &gy, const Tensor &gx) { run_primitive(w, gy, gx.floats()); }
    const std::string &implementation_name() const { return primitive->implementation_name(); }

protected:
    void run_primitive(const Tensor &w, const Tensor &gy, float *target) {
        void *converted = weights->in_layout(primitive->wanted(dnnl_query_weights_md), w.floats());
        primitive->run({converted, gy.data, target});
    }

    std::unique_ptr<Primitive> primitive;
    std::shared_ptr<Weights> weights;
};

// At stride 1: a convolution of gy with the kernels turned by 180 degrees, and input and output channels exchanged.
class FlippedConvolution : public InputGradientStrategy {
public:
    static bool applies(const Geometry &geometry, const Shapes &shapes) {
        const Pair pad = padding(geometry, shapes.w);
        return geometry.stride.rows == 1 && geometry.stride.columns == 1 && pad.rows >= 0 && pad.columns >= 0;
    }

    FlippedConvolution(const Geometry &geometry, const Shapes &shapes, dnnl_data_type_t type, SharedWeights &shared) {
        const Shape &w = shapes.w;
        const dnnl_dim_t groups = geometry.groups;
        const Pair pad = padding(geometry, w);
        ConvolutionSpec c{channels_first(shapes.y),
                          grouped({w[1] * groups, w[0] / groups, w[2], w[3]}, groups),
                          channels_first(shapes.x),
                          {1, 1},
                          geometry.dilation,
                          pad,
                          pad};
        c.type = type;
        c.wide = true;
        primitive = fastest_forward(c);
        weights = shared.get("flipped", w, plain_weights(c.weights), flip(w, groups));
    }

private:
    // What makes a "full" convolution, less what the convolution itself has padded.
    static Pair padding(const Geometry &geometry, const Shape &w) {
        return {geometry.dilation.rows * (w[2] - 1) - geometry.pad.rows,
                geometry.dilation.columns * (w[3] - 1) - geometry.pad.columns};
    }

    static Weights::Transform flip(const Shape &w, dnnl_dim_t groups) {
        const dnnl_dim_t outputs = w[0] / groups, inputs = w[1], taps = w[2] * w[3];
        return [=](const float *from, float *to) {
            in_parallel(groups * inputs, outputs * taps, [=](dnnl_dim_t begin, dnnl_dim_t end) {
                for (dnnl_dim_t gi = begin; gi < end; ++gi) {
                    dnnl_dim_t group = gi / inputs, input = gi % inputs;
                    for (dnnl_dim_t output = 0; output < outputs; ++output) {
                        const float *source = from + ((group * outputs + output) * inputs + input) * taps;
                        std::reverse_copy(source, source + taps, to + (gi * outputs + output) * taps);
                    }
                }
            });
        };
    }
};

// With a stride: pixel (stride * p + r, stride * q + s) of gx is of phase (r, s), and each phase is a convolution of gy
// at stride 1 with a part of the kernel. One convolution computes all phases as channels, which are then interleaved:
// sub-pixel convolution (W. Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
// Convolutional Neural Network, CVPR 2016, arXiv:1609.05158).
class SubpixelConvolution : public InputGradientStrategy {
public:
    // oneDNN's backward convolution is slow where there are few input channels, such as an image's three; from about
    // eight on it is the faster one.
    static bool pays(const Geometry &geometry, const Shapes &shapes) {
        const Axis rows(geometry, shapes, 0), columns(geometry, shapes, 1);
        const bool few_channels = std::max({shapes.w[1], rows.stride, columns.stride}) <= 16 &&
                                  shapes.w[1] * rows.stride * columns.stride <= 16;
        const bool plain = geometry.groups == 1 && geometry.dilation.rows == 1 && geometry.dilation.columns == 1;
        return few_channels && plain && rows.possible() && columns.possible();
    }

    SubpixelConvolution(const Geometry &geometry, const Shapes &shapes, dnnl_data_type_t type, SharedWeights &shared)
        : rows(geometry, shapes, 0), columns(geometry, shapes, 1) {
        const Shape &x = shapes.x, &w = shapes.w;
        const dnnl_dim_t channels = rows.stride * columns.stride * w[1];
        cells = {x[0], rows.cells, columns.cells, channels};
        phases = block<float>(product(cells));
        ConvolutionSpec c{channels_first(shapes.y),
                          {channels, w[0], rows.taps(), columns.taps()},
                          channels_first(cells),
                          {1, 1},
                          {1, 1},
                          {rows.last, columns.last},
                          {rows.pad_after(), columns.pad_after()}};
        c.type = type;
        c.wide = true;
        primitive = fastest_forward(c);
        weights = shared.get("phases", w, plain_weights(c.weights), split_into_phases(w[0], w[1], rows, columns));
    }

    void run(const Tensor &w, const Tensor &gy, const Tensor &gx) override {
        run_primitive(w, gy, phases.get());
        interleave(gx);
    }

private:
    // Rows or columns: x[stride * p + r], of cell p and phase r, reaches the outputs p - tap through the weights
    // r + pad + stride * tap, for taps from `first` to `last` (over all phases).
    struct Axis {
        dnnl_dim_t kernel, stride, pad, outputs, cells, first, last;

        Axis(const Geometry &geometry, const Shapes &shapes, int axis)
            : kernel(shapes.w[2 + axis]),
              stride(axis == 0 ? geometry.stride.rows : geometry.stride.columns),
              pad(axis == 0 ? geometry.pad.rows : geometry.pad.columns),
              outputs(shapes.y[1 + axis]),
              cells((shapes.x[1 + axis] + stride - 1) / stride),
              first(-((stride - 1 + pad) / stride)),
              last(floor_division(kernel - 1 - pad, stride)) {}

        dnnl_dim_t taps() const { return last - first + 1; }
        dnnl_dim_t pad_after() const { return cells - outputs + taps() - 1 - last; }
        // oneDNN has no negative padding.
        bool possible() const { return last >= 0 && pad_after() >= 0; }
        dnnl_dim_t weight(dnnl_dim_t phase, dnnl_dim_t tap) const { return phase + pad + stride * (last - tap); }
        bool has(dnnl_dim_t weight) const { return weight >= 0 && weight < kernel; }

        static dnnl_dim_t floor_division(dnnl_dim_t a, dnnl_dim_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
    };

    static Weights::Transform split_into_phases(dnnl_dim_t outputs, dnnl_dim_t inputs, Axis rows, Axis columns) {
        return [=](const float *from, float *to) {
            for (dnnl_dim_t r = 0; r < rows.stride; ++r)
                for (dnnl_dim_t s = 0; s < columns.stride; ++s)
                    for (dnnl_dim_t i = 0; i < inputs; ++i)
                        for (dnnl_dim_t o = 0; o < outputs; ++o)
                            for (dnnl_dim_t m = 0; m < rows.taps(); ++m)
                                for (dnnl_dim_t n = 0; n < columns.taps(); ++n) {
                                    const dnnl_dim_t row = rows.weight(r, m), column = columns.weight(s, n);
                                    const bool inside = rows.has(row) && columns.has(column);
                                    *to++ = inside ? from[((o * inputs + i) * rows.kernel + row) * columns.kernel + column]
                                                   : 0.f;
                                }
        };
    }

    void interleave(const Tensor &gx) const {
        const dnnl_dim_t height = gx.shape[1], width = gx.shape[2], channels = gx.shape[3];
        const dnnl_dim_t run = columns.stride * channels;
        in_parallel(gx.shape[0] * height, width * channels, [&](dnnl_dim_t begin, dnnl_dim_t end) {
            for (dnnl_dim_t row = begin; row < end; ++row) {
                dnnl_dim_t image = row / height, p = row % height / rows.stride, r = row % height % rows.stride;
                const float *from = phases.get() + (image * cells[1] + p) * cells[2] * cells[3] + r * run;
                float *to = gx.floats() + row * width * channels;
                for (dnnl_dim_t left = width * channels; left > 0; left -= run, from += cells[3], to += run)
                    std::copy(from, from + std::min(left, run), to);
            }
        });
    }

    Axis rows, columns;
    Shape cells;
    Block<float> phases;
};

// oneDNN's own: backward propagation by data.
class BackwardConvolution : public InputGradientStrategy {
public:
    BackwardConvolution(const Geometry &geometry, const Shapes &shapes, dnnl_data_type_t type, SharedWeights &shared) {
        ConvolutionSpec c{channels_first(shapes.x), grouped(shapes.w, geometry.groups), channels_first(shapes.y),
                          geometry.stride, geometry.dilation, geometry.pad, geometry.pad};
        c.type = type;
        c.wide = true;
        primitive.reset(new Primitive(fastest({[&] { return backward_data_desc(c, dnnl_nhwc); },
                                               [&] { return backward_data_desc(c, dnnl_format_tag_any); }})));
        primitive->add(DNNL_ARG_WEIGHTS, primitive->wanted(dnnl_query_weights_md));
        primitive->add(DNNL_ARG_DIFF_DST, primitive->wanted(dnnl_query_diff_dst_md), describe(c.target, dnnl_nhwc), true,
                       false);
        primitive->add(DNNL_ARG_DIFF_SRC, primitive->wanted(dnnl_query_diff_src_md), describe(c.source, dnnl_nhwc),
                       false, true);
        weights = shared.get("plain", shapes.w, plain_weights(c.weights));
    }
};

// The fastest way for these shapes, as far as is known before they are tried.
std::unique_ptr<InputGradientStrategy> choose_strategy(const Geometry &geometry, const Shapes &shapes,
                                                       dnnl_data_type_t type, SharedWeights &weights) {
    if (FlippedConvolution::applies(geometry, shapes))
        return std::make_unique<FlippedConvolution>(geometry, shapes, type, weights);
    if (SubpixelConvolution::pays(geometry, shapes))
        return std::make_unique<SubpixelConvolution>(geometry, shapes, type, weights);
    return std::make_unique<BackwardConvolution>(geometry, shapes, type, weights);
}

// The gradient of a convolution with respect to its input, given x (only its shape is used), w and the gradient gy
// of the output; these are float32, and may be multiplied as bfloat16.
class InputGradient : public Operation {
public:
    explicit InputGradient(const Settings &settings)
        : geometry(settings),
          type(integer(settings, "bfloat16") ? dnnl_bf16 : dnnl_f32),
          x_width(integer(settings, "narrow_x") ? 2 : 4),
          weights(integer(settings, "frozen_weights")) {}

    Arguments inputs(size_t) const override { return {{x_width, 4}, {4, 4}, {4, 4}}; }
    std::vector<bool> pictures(size_t) const override { return {true, false, true}; }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        Shape y = geometry.output_shape(in[0].shape, in[1].shape);
        require(in[2].shape == y, "the output's gradient has shape " + text(in[2].shape) + ", expected " + text(y));
        return {in[0].shape};
    }

    void prepare(const Tensors &in, const Tensors &) override {
        plans.get(joined(in[0].shape, in[1].shape),
                  [&] { return choose_strategy(geometry, {in[0].shape, in[1].shape, in[2].shape}, type, weights); });
    }

    void run(const Tensors &in, const Tensors &out) override { plans.last()->run(in[1], in[2], out[0]); }

    std::vector<std::string> implementations() const override {
        if (!plans.last()) return {};
        return {plans.last()->implementation_name()};
    }

private:
    Geometry geometry;
    dnnl_data_type_t type;
    int x_width;
    SharedWeights weights;
    Plans<InputGradientStrategy> plans;
};

// The gradients of a convolution with respect to its weights and, where asked for, its bias, given x, w (only its
// shape is used) and the gradient gy of the output. Without AVX-512 oneDNN's own implementation for channels-last
// pictures reaches a quarter of what matrix products do.
class WeightGradient : public Operation {
public:
    explicit WeightGradient(const Settings &settings) : geometry(settings), has_bias(integer(settings, "bias")) {}

    Arguments inputs(size_t) const override { return {{4, 4}, {4, 4}, {4, 4}}; }
    std::vector<int> output_widths() const override { return std::vector<int>(has_bias ? 2 : 1, 4); }
    std::vector<bool> pictures(size_t given) const override { return std::vector<bool>(given, false); }

    std::vector<Shape> output_shapes(const Tensors &in) override {
        Shape y = geometry.output_shape(in[0].shape, in[1].shape);
        require(in[2].shape == y, "the output's gradient has shape " + text(in[2].shape) + ", expected " + text(y));
        if (has_bias) return {in[1].shape, {y[3]}};
        return {in[1].shape};
    }

    void prepare(const Tensors &in, const Tensors &) override {
        if (!uses_gemm()) plans.get(joined(in[0].shape, in[1].shape), [&] { return make(in); });
    }

    void run(const Tensors &in, const Tensors &out) override {
        if (uses_gemm()) return run_gemm(in, out);
        void *const data[4] = {in[0].data, in[2].data, out[0].data, has_bias ? out[1].data : nullptr};
        plans.last()->run(data, has_bias ? 4 : 3);
    }

    std::vector<std::string> implementations() const override {
        if (uses_gemm()) return {"matrix products"};
        if (!plans.last()) return {};
        return {plans.last()->implementation_name()};
    }

private:
    bool uses_gemm() const {
        static const bool avx512 = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
        return geometry.groups == 1 && !avx512;
    }

    std::unique_ptr<Primitive> make(const Tensors &in) {
        ConvolutionSpec c{channels_first(in[0].shape), grouped(in[1].shape, geometry.groups), channels_first(in[2].shape),
                          geometry.stride, geometry.dilation, geometry.pad, geometry.pad};
        c.bias = has_bias;
        std::unique_ptr<Primitive> made(
            new Primitive(fastest({[&] { return backward_weights_desc(c, dnnl_nhwc); },
                                   [&] { return backward_weights_desc(c, dnnl_format_tag_any); }})));
        made->add(DNNL_ARG_SRC, made->wanted(dnnl_query_src_md), describe(c.source, dnnl_nhwc), true, false);
        made->add(DNNL_ARG_DIFF_DST, made->wanted(dnnl_query_diff_dst_md), describe(c.target, dnnl_nhwc), true, false);
        made->add(DNNL_ARG_DIFF_WEIGHTS, made->wanted(dnnl_query_diff_weights_md), plain_weights(c.weights), false, true);
        if (has_bias) made->add(DNNL_ARG_DIFF_BIAS, made->wanted(dnnl_query_diff_weights_md, 1));
        return made;
    }

    // gw[:, :, r, :] is gy, as a matrix of pixels and outputs, transposed, times the matrix that holds for each of
    // these pixels what row r of the kernel saw of x (im2col, one row of the kernel at a time). Each thread takes a
    // part of the pixels, in pieces that stay in its cache, and adds up its own weights (row of the kernel, output,
    // column of the kernel and channel).
    void run_gemm(const Tensors &in, const Tensors &out) const {
        const Shape &x = in[0].shape, &w = in[1].shape, &y = in[2].shape;
        const dnnl_dim_t outputs = w[0], rows = w[2], seen = w[3] * x[3], pixels = y[0] * y[1] * y[2];
        const dnnl_dim_t piece = std::min<dnnl_dim_t>(std::max<dnnl_dim_t>(65536 / seen, 64), 1024);
        const int threads = omp_get_max_threads();
        std::vector<Block<float>> weights(threads), gathered(threads);
        std::vector<Block<double>> biases(threads);
        for (int thread = 0; thread < threads; ++thread) {
            weights[thread] = block<float>(rows * outputs * seen);
            gathered[thread] = block<float>(piece * seen);
            biases[thread] = block<double>(outputs);
        }
        int used = 1;
        dnnl_status_t failed = dnnl_success;
#pragma omp parallel
        {
            const int thread = omp_get_thread_num(), all = omp_get_num_threads();
            float *own = weights[thread].get();
            double *bias = biases[thread].get();
            std::fill(own, own + rows * outputs * seen, 0.f);
            std::fill(bias, bias + outputs, 0.);
            const dnnl_dim_t end = pixels * (thread + 1) / all;
            for (dnnl_dim_t first = pixels * thread / all; first < end; first += piece) {
                const dnnl_dim_t count = std::min(piece, end - first);
                const float *gy = in[2].floats() + first * outputs;
                if (has_bias) add_rows(gy, count, outputs, bias);
                for (dnnl_dim_t row = 0; row < rows; ++row) {
                    gather(in[0], w, y, row, first, count, gathered[thread].get());
                    dnnl_status_t status =
                        dnnl_sgemm('T', 'N', outputs, seen, count, 1.f, gy, outputs, gathered[thread].get(), seen, 1.f,
                                   own + row * outputs * seen, seen);
#pragma omp critical(theano_cpu_failure)
                    if (status != dnnl_success) failed = status;
                }
            }
#pragma omp single
            used = all;
        }
        check(failed, "dnnl_sgemm");
        const dnnl_dim_t channels = x[3], columns = w[3];
        in_parallel(outputs, rows * seen * used, [&](dnnl_dim_t first, dnnl_dim_t last) {
            for (dnnl_dim_t o = first; o < last; ++o)
                for (dnnl_dim_t c = 0; c < channels; ++c)
                    for (dnnl_dim_t row = 0; row < rows; ++row)
                        for (dnnl_dim_t column = 0; column < columns; ++column) {
                            float sum = 0;
                            for (int thread = 0; thread < used; ++thread)
                                sum += weights[thread][(row * outputs + o) * seen + column * channels + c];
                            out[0].floats()[((o * channels + c) * rows + row) * columns + column] = sum;
                        }
        });
        for (dnnl_dim_t o = 0; has_bias && o < outputs; ++o) {
            double sum = 0;
            for (int thread = 0; thread < used; ++thread) sum += biases[thread][o];
            out[1].floats()[o] = float(sum);
        }
    }

    static void add_rows(const float *rows, dnnl_dim_t count, dnnl_dim_t columns, double *sums) {
        for (dnnl_dim_t r = 0; r < count; ++r)
            for (dnnl_dim_t c = 0; c < columns; ++c) sums[c] += rows[r * columns + c];
    }

    // What row `row` of the kernel sees for the output pixels from `first` on: zeros where that is padding.
    void gather(const Tensor &x, const Shape &w, const Shape &y, dnnl_dim_t row, dnnl_dim_t first, dnnl_dim_t count,
                float *to) const {
        const dnnl_dim_t height = x.shape[1], width = x.shape[2], channels = x.shape[3], columns = w[3];
        for (dnnl_dim_t pixel = first; pixel < first + count; ++pixel, to += columns * channels) {
            const dnnl_dim_t picture = pixel / (y[1] * y[2]), i = pixel / y[2] % y[1], j = pixel % y[2];
            const dnnl_dim_t u = i * geometry.stride.rows + row * geometry.dilation.rows - geometry.pad.rows;
            const dnnl_dim_t v = j * geometry.stride.columns - geometry.pad.columns;
            const float *line = x.floats() + (picture * height + u) * width * channels;
            if (u < 0 || u >= height) {
                std::fill(to, to + columns * channels, 0.f);
            } else if (geometry.dilation.columns == 1 && v >= 0 && v + columns <= width) {
                std::copy(line + v * channels, line + (v + columns) * channels, to);
            } else {
                for (dnnl_dim_t column = 0; column < columns; ++column) {
                    const dnnl_dim_t at = v + column * geometry.dilation.columns;
                    if (at >= 0 && at < width)
                        std::copy(line + at * channels, line + (at + 1) * channels, to + column * channels);
                    else
                        std::fill(to + column * channels, to + (column + 1) * channels, 0.f);
                }
            }
        }
    }

    Geometry geometry;
    bool has_bias;
    Plans<Primitive> plans;
};

}  // namespace

bool has_fast_convolutions() {
    ConvolutionSpec usual{{1, 64, 56, 56}, {64, 64, 3, 3}, {1, 64, 56, 56}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
    PrimitiveDesc desc = forward_desc(usual, dnnl_nhwc);
    return desc && !is_reference(implementation(desc));
}

Operations convolution_operations() {
    return {{"convolution", make<Convolution>},
            {"input_gradient", make<InputGradient>},
            {"weight_gradient", make<WeightGradient>}};
}
