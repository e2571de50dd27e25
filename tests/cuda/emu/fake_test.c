/*
 * Runs the tests of the fake driver: see fake_test.h. "fake_test" runs all, and each as "fake_test NAME".
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include "tests/cuda/emu/fake_test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/cublas.h"
#include "model/include/selfblindvsr.h"

static const fake_case *const case_lists[] = {fake_memory_cases, fake_stream_cases, fake_image_cases,
                                              fake_module_cases};
enum { LISTS = sizeof(case_lists) / sizeof(*case_lists) };

#define ENTRY(name) ".visible .entry " #name "(\n)\n{\nret;\n}\n"
const char fake_image[] = ".version 7.0\n.target sm_75\n.address_size 64\n" ENTRY(fake_add) ENTRY(fake_shared);
#undef ENTRY

void fake_begin(const sbv_cuda_driver *cu)
{
    CUcontext context;
    CUdevice device;
    CHECK_OK(cu->cuInit(0));
    CHECK_OK(cu->cuDeviceGet(&device, 0));
    CHECK_OK(cu->cuDevicePrimaryCtxRetain(&context, device));
    CHECK_OK(cu->cuCtxPushCurrent(context));
}

void fake_end(const sbv_cuda_driver *cu)
{
    CUcontext context;
    CHECK_OK(cu->cuCtxPopCurrent(&context));
    CHECK_OK(cu->cuDevicePrimaryCtxRelease(0));
}

CUdeviceptr fake_ints(const sbv_cuda_driver *cu, int count, int value)
{
    CUdeviceptr ints;
    int *values = malloc((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++)
        values[i] = value;
    CHECK_OK(cu->cuMemAlloc(&ints, (size_t)count * sizeof(int)));
    CHECK_OK(cu->cuMemcpyHtoD(ints, values, (size_t)count * sizeof(int)));
    free(values);
    return ints;
}

int fake_int_at(const sbv_cuda_driver *cu, CUdeviceptr ints, int index)
{
    int value;
    CHECK_OK(cu->cuMemcpyDtoH(&value, ints + (size_t)index * sizeof(int), sizeof(value)));
    return value;
}

CUfunction fake_function(const sbv_cuda_driver *cu, CUmodule module, const char *name)
{
    CUfunction function;
    CHECK_OK(cu->cuModuleGetFunction(&function, module, name));
    return function;
}

int fake_launch(const sbv_cuda_driver *cu, CUfunction function, CUstream stream, CUdeviceptr ints, int count, int value)
{
    fake_kernel_args args = {(int *)(uintptr_t)ints, count, value};
    void *params[] = {&args};
    return cu->cuLaunchKernel(function, (unsigned)(count + 31) / 32, 1, 1, 32, 1, 1, 0, stream, params, NULL);
}

static const fake_case *find_case(const char *name)
{
    for (int i = 0; i < LISTS; i++)
        for (const fake_case *c = case_lists[i]; c->name; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

/* In the process of a case. */
static int run_case(const char *name)
{
    char message[300];
    sbv_cuda_driver driver;
    const fake_case *c = find_case(name);
    if (sbv_cuda_driver_open(&driver, message, sizeof(message))) {
        fprintf(stderr, "%s\n", message);
        return 2;
    }
    CHECK(c && c->run);
    c->run(&driver);
    sbv_cuda_driver_close(&driver);
    return 0;
}

/* Runs this program again for one case, with its output in `output`. Gives the status of wait. */
static int start_case(const char *program, const fake_case *c, const char *report, const char *output)
{
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3 && c->environment[i]; i++)
            putenv((char *)c->environment[i]);
        setenv("FAKE_CUDA_REPORT", report, 1);
        if (!freopen(output, "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            _exit(3);
        execl(program, program, c->name, (char *)NULL);
        _exit(4);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);
    if (file) {
        text[fread(text, 1, 65535, file)] = 0;
        fclose(file);
    }
    return text;
}

/* Line number `wanted` of those that tell of a mistake or a leak; NULL if there are fewer. It is cut out of `text`. */
static const char *complaint(char *text, int wanted)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if ((strncmp(line, "misuse ", 7) == 0 || strncmp(line, "leak ", 5) == 0) && wanted-- == 0)
            return line;
    return NULL;
}

static int check_report(const fake_case *c, const char *path)
{
    for (int i = 0; i < FAKE_MAX_LINES; i++) {
        char *text = read_file(path);
        if (i == 0 && !strstr(text, "\nend\n")) {
            printf("# there is no report\n");
            return 0;
        }
        const char *line = complaint(text, i), *wanted = c->report[i];
        if (!line != !wanted || (line && !strstr(line, wanted))) {
            printf("# line %d of the report: \"%s\", expected: \"%s\"\n", i + 1, line ? line : "",
                   wanted ? wanted : "");
            return 0;
        }
        free(text);
        if (!wanted)
            break;
    }
    return 1;
}

/* The address sanitizer ends a process in its own way, with its own words. */
static int died_as_expected(const fake_case *c, int status, const char *output)
{
#ifdef __SANITIZE_ADDRESS__
    (void)c;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 && strstr(output, "AddressSanitizer");
#else
    return WIFSIGNALED(status) && strstr(output, c->dies);
#endif
}

static int passes(const char *program, const fake_case *c)
{
    char report[] = "/tmp/fake_report_XXXXXX", output[] = "/tmp/fake_output_XXXXXX";
    close(mkstemp(report));
    close(mkstemp(output));
    int status = start_case(program, c, report, output);
    char *text = read_file(output);
    int passed = c->dies ? died_as_expected(c, status, text) : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (passed && !c->dies)
        passed = check_report(c, report);
    if (!passed)
        printf("# status %#x, output:\n# %s\n", (unsigned)status, text);
    free(text);
    unlink(report);
    unlink(output);
    return passed;
}

/* ---- The loaders ---- */

/* Libraries that cannot be loaded, or lack functions, lie in folders beside the program. */
static const struct loader_case {
    const char *name, *folder, *driver_message, *blas_message;
} loader_cases[] = {
    {"libraries that are none", "none", "libcuda.so.1 cannot be loaded: ", NULL},
    {"libraries that lack functions", "lacking", "libcuda.so.1 has no cuInit: the driver is too old",
     "libcublas.so.13 has no cublasCreate_v2"},
};
enum { LOADER_CASES = sizeof(loader_cases) / sizeof(*loader_cases) };

/* In a process that looks for libraries in the folder of the case. */
static int run_loader_case(const struct loader_case *c)
{
    char message[300] = "";
    sbv_cuda_driver driver;
    sbv_cublas blas;
    CHECK(sbv_cuda_driver_open(&driver, message, sizeof(message)) == SBV_ERROR_DEVICE);
    CHECK(strstr(message, c->driver_message) == message && !strchr(message, '\n'));
    CHECK(!driver.library && !driver.cuInit);
    sbv_cuda_driver_close(&driver);
    if (c->blas_message) {
        CHECK(sbv_cublas_open(&blas, message, sizeof(message)) == SBV_ERROR_DEVICE);
        CHECK(strcmp(message, c->blas_message) == 0);
        sbv_cublas_close(&blas);
    }
    return 0;
}

static int loader_passes(const char *program, const struct loader_case *c)
{
    char path[4096];
    const char *slash = strrchr(program, '/');
    snprintf(path, sizeof(path), "LD_LIBRARY_PATH=%.*s%s", (int)(slash - program + 1), program, c->folder);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        putenv(path);
        execl(program, program, c->name, (char *)NULL);
        _exit(4);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
    int number = 0, failed = 0;
    for (int i = 0; i < LOADER_CASES; i++)
        if (argc > 1 && strcmp(argv[1], loader_cases[i].name) == 0)
            return run_loader_case(&loader_cases[i]);
    if (argc > 1)
        return run_case(argv[1]);
    for (int i = 0; i < LOADER_CASES; i++) {
        int passed = loader_passes(argv[0], &loader_cases[i]);
        printf("%sok %d - %s\n", passed ? "" : "not ", ++number, loader_cases[i].name);
        failed += !passed;
    }
    for (int i = 0; i < LISTS; i++)
        for (const fake_case *c = case_lists[i]; c->name; c++) {
            int passed = passes(argv[0], c);
            printf("%sok %d - %s\n", passed ? "" : "not ", ++number, c->name);
            failed += !passed;
        }
    printf("1..%d\n", number);
    return failed != 0;
}
