// Operations that are no convolutions: on each value, on windows of pictures, on matrices.
#include "elementwise.hpp"
#include "pooling.hpp"

Operations value_operations() {
    return {{"pool", make<Pool>},
            {"pool_gradient", make<PoolGradient>},
            {"subsample", make<Subsample>},
            {"subsample_gradient", make<SubsampleGradient>},
            {"global_pool", make<GlobalPool>},
            {"global_pool_gradient", make<GlobalPoolGradient>},
            {"relu_gradient", make<ReluGradient>},
            {"sum", make<Sum>},
            {"layout", make<Layout>},
            {"bfloat16", make<Bfloat16>},
            {"gemm", make<Gemm>},
            {"sum_rows", make<SumRows>},
            {"softmax", make<Softmax>},
            {"softmax_gradient", make<SoftmaxGradient>}};
}
