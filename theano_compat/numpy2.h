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

/* Theano means "no axis" by NPY_MAXDIMS. Its checks of the compiler's flags come without NumPy's include folder. */
#if __has_include(<numpy/ndarraytypes.h>)
#include <Python.h>
#include <numpy/ndarraytypes.h>
#undef NPY_MAXDIMS
#define NPY_MAXDIMS NPY_RAVEL_AXIS
#endif
