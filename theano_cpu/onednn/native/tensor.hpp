// Plain views of arrays, memory that is aligned for vector loads, and loops over threads.
#pragma once
#include <dnnl.h>
#include <omp.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

using Shape = std::vector<dnnl_dim_t>;

inline dnnl_dim_t product(const Shape &shape) {
    dnnl_dim_t size = 1;
    for (dnnl_dim_t dim : shape) size *= dim;
    return size;
}

inline std::string text(const Shape &shape) {
    std::ostringstream out;
    out << '(';
    for (size_t i = 0; i < shape.size(); ++i) out << (i ? ", " : "") << shape[i];
    out << (shape.size() == 1 ? ",)" : ")");
    return out.str();
}

// A C-contiguous array of float32 (or of the upper halves of float32: bfloat16 kept as uint16).
struct Tensor {
    void *data = nullptr;
    Shape shape;
    float *floats() const { return static_cast<float *>(data); }
    uint16_t *halves() const { return static_cast<uint16_t *>(data); }
    dnnl_dim_t size() const { return product(shape); }
};
using Tensors = std::vector<Tensor>;

// Vector loads that cross a cache line cost a tenth of a convolution, and NumPy aligns to 16 bytes only.
constexpr size_t alignment = 64;

// For AddressSanitizer, which knows what malloc has given: what of that is nobody's, and what is somebody's again.
#ifdef __SANITIZE_ADDRESS__
inline void forbid(void *memory, size_t bytes) { __asan_poison_memory_region(memory, bytes); }
inline void permit(void *memory, size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
#else
inline void forbid(void *, size_t) {}
inline void permit(void *, size_t) {}
#endif

// Pages of this size spare the processor most of its walks through the page tables.
constexpr size_t huge_page = size_t(2) << 20;

inline void *allocate(size_t bytes) {
    const size_t unit = bytes < huge_page ? alignment : huge_page;
    const size_t rounded = (bytes / unit + 1) * unit;
    void *memory = std::aligned_alloc(unit, rounded);
    if (!memory) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (unit == huge_page) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    forbid(static_cast<char *>(memory) + bytes, rounded - bytes);
    return memory;
}

struct Free {
    void operator()(void *memory) const { std::free(memory); }
};

template <class T>
using Block = std::unique_ptr<T[], Free>;

template <class T>
Block<T> block(size_t count) {
    return Block<T>(static_cast<T *>(allocate(count * sizeof(T))));
}

// Memory of this thread for a purpose, which keeps it for the next time.
template <class Purpose, class Value>
Value *scratch(size_t count) {
    static thread_local Block<Value> memory;
    static thread_local size_t capacity = 0;
    if (count > capacity) {
        capacity = 0;
        memory.reset();
        memory = block<Value>(count);
        capacity = count;
    }
    return memory.get();
}

// Pieces of large blocks, for what is kept: weights of all layers then lie in few huge pages. A block goes with the last
// of its pieces.
class Pieces {
public:
    std::shared_ptr<char> take(size_t bytes) {
        if (2 * bytes > block_bytes) return own_block(bytes);
        std::lock_guard<std::mutex> lock(mutex);
        const size_t wanted = (bytes / alignment + 1) * alignment;
        std::shared_ptr<char> block = current.lock();
        if (!block || used + wanted > block_bytes) {
            current = block = own_block(block_bytes);
            used = 0;
            forbid(block.get(), block_bytes);
        }
        char *piece = block.get() + used;
        used += wanted;
        permit(piece, bytes);
        return {block, piece};
    }

private:
    static std::shared_ptr<char> own_block(size_t bytes) {
        return {static_cast<char *>(allocate(bytes)), Free()};
    }

    static constexpr size_t block_bytes = 4 * huge_page - alignment;
    std::mutex mutex;
    std::weak_ptr<char> current;
    size_t used = 0;
};

inline Pieces &pieces() {
    static Pieces *all = new Pieces;  // never destroyed: weights may outlive everything else
    return *all;
}

// Calls function(begin, end) on consecutive parts of 0..count, one for each thread; `cost` is the number of
// values that one of them touches. Small work is not worth waking the other threads.
template <class Function>
void in_parallel(dnnl_dim_t count, dnnl_dim_t cost, Function function) {
    if (count * cost < 32768 || omp_get_max_threads() == 1) {
        function(dnnl_dim_t(0), count);
        return;
    }
// A closure that all threads share could change under the loops in it, and GCC would not vectorise them
#pragma omp parallel firstprivate(function)
    {
        dnnl_dim_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        function(count * thread / threads, count * (thread + 1) / threads);
    }
}
