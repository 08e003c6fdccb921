/* The reporting of the register gate, and the tests of it that stand in files of their own. */
#ifndef CR_TEST_GATE_H
#define CR_TEST_GATE_H

/* A test stands between begin and end; the first failure in it is reported, the others are not. */
void gate_begin(const char *name);
void gate_end(void);
__attribute__((format(printf, 1, 2))) void gate_fail(const char *format, ...);
void gate_skip(const char *name, const char *why);

/* Where branches can be guarded, guarded.c adds its tests. */
#if defined(__aarch64__) && defined(__linux__) && defined(__ARM_FEATURE_BTI_DEFAULT) && \
    !defined(COIR_CTX_UCONTEXT)
#define GATE_GUARDED 1
void test_guarded_pages(void);
#endif

#endif
