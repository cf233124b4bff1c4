/* What Theano 1.0.5's generated C++ expects and the headers of NumPy 2 no longer give.
   Read ahead of every generated file (g++ -include), on NumPy 2 only. */

#define NPY_TARGET_VERSION 0x00000012 /* NumPy 2.0: PyArray_Descr shows its elsize */
#define NPY_PY3K 1

/* Python 2's names, which NumPy's npy_3kcompat.h mapped to Python 3 */
#define PyInt_Check PyLong_Check
#define PyInt_AsLong PyLong_AsLong
#define PyInt_AS_LONG PyLong_AsLong
#define PyInt_FromLong PyLong_FromLong
#define PyNumber_Int PyNumber_Long

/* Theano's checks of the compiler's flags come without NumPy's include folder */
#if __has_include(<numpy/ndarraytypes.h>)
#include <Python.h>

/* In C++ NumPy 2 shows of its complex numbers only the array _Val, which its own headers use. Theano's are derived from
   NumPy's and ask for real and imag: the same numbers by both names. */
#define npy_cfloat numpy_cfloat
#define npy_cdouble numpy_cdouble
#include <numpy/npy_common.h>
#undef npy_cfloat
#undef npy_cdouble

typedef struct {
  union {
    float _Val[2];
    struct {
      float real, imag;
    };
  };
} npy_cfloat;

typedef struct {
  union {
    double _Val[2];
    struct {
      double real, imag;
    };
  };
} npy_cdouble;

#define npy_complex64 npy_cfloat
#define npy_complex128 npy_cdouble

/* Theano means "no axis" by NPY_MAXDIMS */
#include <numpy/ndarraytypes.h>
#undef NPY_MAXDIMS
#define NPY_MAXDIMS NPY_RAVEL_AXIS
#endif
