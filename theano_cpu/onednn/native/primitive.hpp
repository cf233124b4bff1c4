// oneDNN's C interface behind owners that clean up and throw.
#pragma once
#include <cstring>
#include <functional>
#include <memory>

#include "tensor.hpp"

class DnnlError : public std::runtime_error {
public:
    DnnlError(const char *call, dnnl_status_t status)
        : std::runtime_error(std::string(call) + " returned status " + std::to_string(status) + " (" + name(status) +
                             ")") {}

private:
    static const char *name(dnnl_status_t status) {
        switch (status) {
            case dnnl_out_of_memory: return "out of memory";
            case dnnl_invalid_arguments: return "invalid arguments";
            case dnnl_unimplemented: return "unimplemented";
            case dnnl_runtime_error: return "runtime error";
            default: return "see dnnl_status_t";
        }
    }
};

inline void check(dnnl_status_t status, const char *call) {
    if (status != dnnl_success) throw DnnlError(call, status);
}
#define DNNL(function, ...) check(function(__VA_ARGS__), #function)

inline dnnl_engine_t engine() {
    static dnnl_engine_t cpu = [] {
        dnnl_engine_t made;
        DNNL(dnnl_engine_create, &made, dnnl_cpu, 0);
        return made;
    }();
    return cpu;
}

// Streams and scratch memory belong to a thread: several threads may run primitives at once.
inline dnnl_stream_t stream() {
    struct Owner {
        dnnl_stream_t stream = nullptr;
        Owner() { DNNL(dnnl_stream_create, &stream, engine(), dnnl_stream_in_order); }
        ~Owner() { dnnl_stream_destroy(stream); }
    };
    static thread_local Owner owner;
    return owner.stream;
}

inline void *scratchpad(size_t bytes) {
    static thread_local Block<char> memory;
    static thread_local size_t capacity = 0;
    if (bytes > capacity) {
        memory.reset();
        memory = block<char>(bytes);
        capacity = bytes;
    }
    return memory.get();
}

template <class Handle, dnnl_status_t (*destroy)(Handle)>
class Owned {
public:
    Owned() = default;
    explicit Owned(Handle handle) : handle(handle) {}
    Owned(Owned &&other) noexcept : handle(other.handle) { other.handle = nullptr; }
    Owned &operator=(Owned &&other) noexcept {
        std::swap(handle, other.handle);
        return *this;
    }
    ~Owned() {
        if (handle) destroy(handle);
    }
    operator Handle() const { return handle; }
    Handle *out() { return &handle; }

private:
    Handle handle = nullptr;
};
using Attributes = Owned<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy>;
using PostOps = Owned<dnnl_post_ops_t, dnnl_post_ops_destroy>;
using PrimitiveDesc = Owned<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy>;
using PrimitiveHandle = Owned<dnnl_primitive_t, dnnl_primitive_destroy>;
using MemoryHandle = Owned<dnnl_memory_t, dnnl_memory_destroy>;
using DescHandle = Owned<dnnl_memory_desc_t, dnnl_memory_desc_destroy>;

inline DescHandle describe(const Shape &dims, dnnl_format_tag_t tag, dnnl_data_type_t type = dnnl_f32) {
    DescHandle desc;
    DNNL(dnnl_memory_desc_create_with_tag, desc.out(), int(dims.size()), dims.data(), type, tag);
    return desc;
}

inline DescHandle copy(const_dnnl_memory_desc_t from) {
    DescHandle desc;
    DNNL(dnnl_memory_desc_clone, desc.out(), from);
    return desc;
}

inline std::string implementation(const_dnnl_primitive_desc_t desc) {
    const char *name = "";
    DNNL(dnnl_primitive_desc_query, desc, dnnl_query_impl_info_str, 0, &name);
    return name;
}

// oneDNN's plain C++ loops: hundreds of times slower than the rest.
inline bool is_reference(const std::string &implementation) {
    return implementation.rfind("ref", 0) == 0 || implementation.rfind("gemm:ref", 0) == 0;
}

// A buffer described to oneDNN.
class Memory {
public:
    explicit Memory(const_dnnl_memory_desc_t desc, void *data = nullptr) {
        DNNL(dnnl_memory_create, handle.out(), desc, engine(), data);
    }
    void point_to(void *data) { DNNL(dnnl_memory_set_data_handle, handle, data); }
    dnnl_memory_t get() const { return handle; }

private:
    MemoryHandle handle;
};

class Reorder {
public:
    Reorder(const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to) : source(from), target(to) {
        PrimitiveDesc desc;
        Attributes attributes;
        DNNL(dnnl_primitive_attr_create, attributes.out());
        DNNL(dnnl_primitive_attr_set_scratchpad_mode, attributes, dnnl_scratchpad_mode_user);
        DNNL(dnnl_reorder_primitive_desc_create, desc.out(), from, engine(), to, engine(), attributes);
        scratch_desc = copy(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
        scratch.reset(new Memory(scratch_desc));
        DNNL(dnnl_primitive_create, primitive.out(), desc);
    }
    void operator()(const void *from, void *to) {
        source.point_to(const_cast<void *>(from));
        target.point_to(to);
        if (size_t bytes = dnnl_memory_desc_get_size(scratch_desc)) scratch->point_to(scratchpad(bytes));
        const dnnl_exec_arg_t arguments[] = {
            {DNNL_ARG_FROM, source.get()}, {DNNL_ARG_TO, target.get()}, {DNNL_ARG_SCRATCHPAD, scratch->get()}};
        DNNL(dnnl_primitive_execute, primitive, stream(), 3, arguments);
    }

private:
    Memory source, target;
    DescHandle scratch_desc;
    std::unique_ptr<Memory> scratch;
    PrimitiveHandle primitive;
};

// A weight array in the layout that a primitive asks for. Weights that are constants of the graph are converted
// once and serve every shape of the input; others are converted at every run.
class Weights {
public:
    using Transform = std::function<void(const float *, float *)>;

    // `transform`, when given, computes the plain array `desc` describes from the operation's own weights.
    Weights(DescHandle desc, bool frozen, Transform transform = nullptr)
        : plain(std::move(desc)), frozen(frozen), transform(std::move(transform)) {}

    const_dnnl_memory_desc_t desc() const { return plain; }

    void *in_layout(const_dnnl_memory_desc_t wanted, const float *weights) {
        Layout &layout = find(wanted);
        if (frozen && layout.filled) return layout.buffer.get();
        bool converts = !dnnl_memory_desc_equal(plain, wanted);
        if (!converts && !transform) return const_cast<float *>(weights);
        if (!layout.buffer) layout.buffer = pieces().take(dnnl_memory_desc_get_size(wanted));
        const float *source = weights;
        Block<float> transformed;
        if (transform) {
            float *target = reinterpret_cast<float *>(layout.buffer.get());
            if (converts) {
                transformed = block<float>(dnnl_memory_desc_get_size(plain) / sizeof(float));
                target = transformed.get();
            }
            transform(weights, target);
            source = target;
        }
        if (converts) {
            if (!layout.reorder) layout.reorder.reset(new Reorder(plain, wanted));
            (*layout.reorder)(source, layout.buffer.get());
            if (frozen) layout.reorder.reset();
        }
        layout.filled = true;
        return layout.buffer.get();
    }

private:
    struct Layout {
        DescHandle desc;
        std::shared_ptr<char> buffer;
        std::unique_ptr<Reorder> reorder;
        bool filled = false;
    };
    Layout &find(const_dnnl_memory_desc_t wanted) {
        for (auto &layout : layouts)
            if (dnnl_memory_desc_equal(layout->desc, wanted)) return *layout;
        layouts.emplace_back(new Layout);
        layouts.back()->desc = copy(wanted);
        return *layouts.back();
    }
    DescHandle plain;
    bool frozen;
    Transform transform;
    std::vector<std::unique_ptr<Layout>> layouts;
};

// A primitive together with its arguments. Arrays come and go in the layout of the operation; where the primitive
// wants another one they pass through a buffer of its own.
class Primitive {
public:
    explicit Primitive(PrimitiveDesc made) : desc(std::move(made)), name(implementation(desc)) {
        DNNL(dnnl_primitive_create, primitive.out(), desc);
        const_dnnl_memory_desc_t scratch = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        scratch_bytes = dnnl_memory_desc_get_size(scratch);
        add(DNNL_ARG_SCRATCHPAD, scratch);
    }

    const std::string &implementation_name() const { return name; }
    const_dnnl_memory_desc_t wanted(dnnl_query_t what, int index = 0) const {
        return dnnl_primitive_desc_query_md(desc, what, index);
    }

    void add(int argument, const_dnnl_memory_desc_t wanted) {
        arguments.emplace_back(new Argument{argument, Memory(wanted), nullptr, nullptr, nullptr});
        list.push_back({argument, arguments.back()->memory.get()});
    }
    // `in` and `out` say whether the values are read and written.
    void add(int argument, const_dnnl_memory_desc_t wanted, const_dnnl_memory_desc_t given, bool in, bool out) {
        add(argument, wanted);
        if (dnnl_memory_desc_equal(wanted, given)) return;
        Argument &added = *arguments.back();
        if (in) added.before.reset(new Reorder(given, wanted));
        if (out) added.after.reset(new Reorder(wanted, given));
        added.buffer = block<char>(dnnl_memory_desc_get_size(wanted));
        added.memory.point_to(added.buffer.get());
    }

    // `data` holds the arrays in the order in which add() named them.
    void run(std::initializer_list<void *> data) { run(data.begin(), data.size()); }
    void run(void *const *data, size_t count) {
        if (count + 1 != arguments.size()) throw std::logic_error("a primitive got another number of arrays than it has");
        for (size_t i = 1; i <= count; ++i) {
            Argument &argument = *arguments[i];
            if (argument.before)
                (*argument.before)(data[i - 1], argument.buffer.get());
            else if (!argument.buffer)
                point(i, data[i - 1]);
        }
        // Last, because the reorders above may have grown this thread's scratch memory.
        if (scratch_bytes) point(0, scratchpad(scratch_bytes));
        DNNL(dnnl_primitive_execute, primitive, stream(), int(list.size()), list.data());
        for (size_t i = 1; i <= count; ++i)
            if (arguments[i]->after) (*arguments[i]->after)(arguments[i]->buffer.get(), data[i - 1]);
    }

private:
    struct Argument {
        int number;
        Memory memory;
        std::unique_ptr<Reorder> before, after;
        Block<char> buffer;
        void *data = nullptr;
    };

    void point(size_t index, void *data) {
        Argument &argument = *arguments[index];
        if (argument.data != data) argument.memory.point_to(data);
        argument.data = data;
    }

    PrimitiveDesc desc;
    std::string name;
    PrimitiveHandle primitive;
    size_t scratch_bytes;
    std::vector<std::unique_ptr<Argument>> arguments;
    std::vector<dnnl_exec_arg_t> list;
};
