/*
 * Tests of the fake driver: which image a device and a driver take, and what kernels they find in it.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_test.h"

#include <elf.h>

enum { SPECIFIC = 0x100000, ZSTD = 0x8000 };

/* What an image is made of. */
typedef struct piece {
    int is_ptx, arch, version; /* of the PTX ISA, 78, or the ABI of the machine code */
    int flags;
    const char *kernels[3];
} piece;

typedef struct image {
    char bytes[16384];
    size_t size;
} image;

static void append(image *i, const void *bytes, size_t count)
{
    CHECK(i->size + count <= sizeof(i->bytes));
    memcpy(i->bytes + i->size, bytes, count);
    i->size += count;
}

static void write_ptx(image *i, const piece *p)
{
    char text[1000];
    int length = snprintf(text, sizeof(text), ".version %d.%d\n.target sm_%d\n.address_size 64\n", p->version / 10,
                          p->version % 10, p->arch);
    for (int k = 0; k < 3 && p->kernels[k]; k++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, ".visible .entry %s(\n)\n{\nret;\n}\n",
                           p->kernels[k]);
    append(i, text, (size_t)length + 1);
}

/* As much of a cubin as says what it is: the sections of its kernels, empty. */
static void write_elf(image *i, const piece *p)
{
    Elf64_Ehdr header = {.e_type = ET_EXEC, .e_machine = 190, .e_shoff = sizeof(header), .e_shnum = 2};
    Elf64_Shdr sections[5] = {{0}};
    char names[400] = "\0.shstrtab";
    size_t length = sizeof("\0.shstrtab");
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_ABIVERSION] = (unsigned char)p->version;
    header.e_flags = (unsigned)(p->version < 8 ? p->arch : p->arch << 8);
    header.e_shstrndx = 1;
    sections[1].sh_name = 1;
    for (int k = 0; k < 3 && p->kernels[k]; k++) {
        sections[header.e_shnum++].sh_name = (unsigned)length;
        length += (size_t)snprintf(names + length, sizeof(names) - length, ".text.%s", p->kernels[k]) + 1;
    }
    sections[1].sh_offset = sizeof(header) + header.e_shnum * sizeof(*sections);
    sections[1].sh_size = length;
    append(i, &header, sizeof(header));
    append(i, sections, header.e_shnum * sizeof(*sections));
    append(i, names, length);
}

/* The format of fatbinary. Pieces up to one without kernels. */
static const void *build(image *i, const piece *pieces)
{
    const uint16_t version[2] = {1, 16};
    const uint32_t magic = 0xba55ed50;
    uint64_t size = 0;
    memset(i, 0, sizeof(*i));
    append(i, &magic, 4);
    append(i, version, 4);
    append(i, &size, 8);
    for (const piece *p = pieces; p->kernels[0]; p++) {
        const size_t begin = i->size;
        uint64_t header[8] = {(uint64_t)(p->is_ptx ? 1 : 2) | (uint64_t)64 << 32,
                              0,
                              0,
                              (uint64_t)p->arch << 32,
                              0,
                              (uint64_t)p->flags | 0x11};
        append(i, header, sizeof(header));
        if (p->is_ptx)
            write_ptx(i, p);
        else
            write_elf(i, p);
        i->size = (i->size + 7) / 8 * 8;
        size = i->size - begin - sizeof(header);
        memcpy(i->bytes + begin + 8, &size, 8);
    }
    size = i->size - 16;
    memcpy(i->bytes + 8, &size, 8);
    return i->bytes;
}

/* As the library's images are. */
static const piece usual[] = {
    {0, 75, 7, 0, {"fake_add"}},
    {0, 80, 7, 0, {"fake_add", "of_80"}},
    {0, 90, 7, 0, {"fake_add", "of_90"}},
    {0, 90, 7, SPECIFIC, {"fake_add", "of_90a"}},
    {1, 80, 78, 0, {"fake_add", "of_ptx"}},
    {0},
};

/* What the device takes out of an image: a name that is in that piece alone; NULL: this error. */
static void check_image(const sbv_cuda_driver *cu, const void *bytes, const char *kernel, int error)
{
    CUmodule module;
    CUfunction function;
    fake_begin(cu);
    CHECK_CODE(cu->cuModuleLoadData(&module, bytes), error);
    if (kernel) {
        CHECK_OK(cu->cuModuleGetFunction(&function, module, kernel));
        CHECK_CODE(cu->cuModuleGetFunction(&function, module, "no_such_kernel"), CUDA_ERROR_NOT_FOUND);
        for (const piece *p = usual; p->kernels[0]; p++)
            if (p->kernels[1] && strcmp(p->kernels[1], kernel) != 0)
                CHECK_CODE(cu->cuModuleGetFunction(&function, module, p->kernels[1]), CUDA_ERROR_NOT_FOUND);
        CHECK_OK(cu->cuModuleUnload(module));
    }
    fake_end(cu);
}

static image built;

static void no_image(const sbv_cuda_driver *cu)
{
    check_image(cu, build(&built, usual), NULL, CUDA_ERROR_NO_BINARY_FOR_GPU);
}
static void simple_kernels(const sbv_cuda_driver *cu)
{
    check_image(cu, build(&built, usual), "fake_add", CUDA_SUCCESS);
}
static void image_of_80(const sbv_cuda_driver *cu)
{
    check_image(cu, build(&built, usual), "of_80", CUDA_SUCCESS);
}
static void image_of_90a(const sbv_cuda_driver *cu)
{
    check_image(cu, build(&built, usual), "of_90a", CUDA_SUCCESS);
}
static void image_of_ptx(const sbv_cuda_driver *cu)
{
    check_image(cu, build(&built, usual), "of_ptx", CUDA_SUCCESS);
}

/* One piece for sm_80. */
static void check_piece(const sbv_cuda_driver *cu, piece p, int error)
{
    const piece pieces[2] = {p, {0}};
    check_image(cu, build(&built, pieces), error ? NULL : "fake_add", error);
}

static void drivers_and_ptx(const sbv_cuda_driver *cu)
{
    check_piece(cu, (piece){1, 80, 80, 0, {"fake_add"}}, 0);
    check_piece(cu, (piece){1, 80, 82, 0, {"fake_add"}}, 0);
    check_piece(cu, (piece){1, 80, 83, 0, {"fake_add"}}, 222);
    check_piece(cu, (piece){1, 80, 90, 0, {"fake_add"}}, 222);
    check_piece(cu, (piece){1, 80, 78, ZSTD, {"fake_add"}}, 222);
    check_piece(cu, (piece){1, 86, 78, 0, {"fake_add"}}, CUDA_ERROR_NO_BINARY_FOR_GPU);
}
static void drivers_and_machine_code(const sbv_cuda_driver *cu)
{
    check_piece(cu, (piece){0, 80, 7, 0, {"fake_add"}}, 0);
    check_piece(cu, (piece){0, 80, 8, 0, {"fake_add"}}, CUDA_ERROR_INVALID_IMAGE);
    check_piece(cu, (piece){0, 86, 7, 0, {"fake_add"}}, CUDA_ERROR_NO_BINARY_FOR_GPU);
    check_piece(cu, (piece){0, 80, 7, SPECIFIC, {"fake_add"}}, 0);
}
static void driver_of_cuda_13(const sbv_cuda_driver *cu)
{
    check_piece(cu, (piece){1, 80, 90, 0, {"fake_add"}}, 0);
    check_piece(cu, (piece){1, 80, 91, 0, {"fake_add"}}, 222);
    check_piece(cu, (piece){0, 80, 8, 0, {"fake_add"}}, 0);
}

static void driver_versions(const sbv_cuda_driver *cu)
{
    int version;
    CHECK_OK(cu->cuDriverGetVersion(&version));
    CHECK(version == 12020);
}

/* Without a container around it. */
static void bare_images(const sbv_cuda_driver *cu)
{
    const piece elf = {0, 80, 7, 0, {"fake_add"}}, ptx = {1, 80, 78, 0, {"fake_add"}};
    memset(&built, 0, sizeof(built));
    write_elf(&built, &elf);
    check_image(cu, built.bytes, "fake_add", CUDA_SUCCESS);
    memset(&built, 0, sizeof(built));
    write_ptx(&built, &ptx);
    check_image(cu, built.bytes, "fake_add", CUDA_SUCCESS);
    check_image(cu, "neither", NULL, CUDA_ERROR_INVALID_IMAGE);
}

/* FFmpeg's modules can be loaded, but what is in them is not here to be run. */
static void kernels_of_others(const sbv_cuda_driver *cu)
{
    CUmodule module;
    CUfunction function;
    fake_begin(cu);
    CHECK_OK(cu->cuModuleLoadData(&module,
                                  "//\n.version 7.0\n.target sm_60\n.visible .entry somebody_elses(\n)\n{\nret;\n}\n"));
    CHECK_OK(cu->cuModuleGetFunction(&function, module, "somebody_elses"));
    CHECK_CODE(fake_launch(cu, function, NULL, 0, 32, 0), CUDA_ERROR_NOT_SUPPORTED);
    CHECK_CODE(cu->cuModuleGetFunction(&function, module, "fake_add"), CUDA_ERROR_NOT_FOUND);
    CHECK_OK(cu->cuModuleUnload(module));
    fake_end(cu);
}

const fake_case fake_image_cases[] = {
    {"sm_70", no_image, {"FAKE_CUDA_SM=70"}, {0}, 0},
    {"sm_75", simple_kernels, {"FAKE_CUDA_SM=75"}, {0}, 0},
    {"sm_80", image_of_80, {0}, {0}, 0},
    {"sm_86", image_of_80, {"FAKE_CUDA_SM=86"}, {0}, 0},
    {"sm_90", image_of_90a, {"FAKE_CUDA_SM=90"}, {0}, 0},
    {"sm_120", image_of_ptx, {"FAKE_CUDA_SM=120"}, {0}, 0},
    {"drivers and PTX", drivers_and_ptx, {"FAKE_CUDA_DRIVER=12.2"}, {0}, 0},
    {"drivers and machine code", drivers_and_machine_code, {"FAKE_CUDA_DRIVER=12.4"}, {0}, 0},
    {"driver of CUDA 13", driver_of_cuda_13, {"FAKE_CUDA_DRIVER=13.0"}, {0}, 0},
    {"driver versions", driver_versions, {"FAKE_CUDA_DRIVER=12.2"}, {0}, 0},
    {"bare images", bare_images, {0}, {"neither machine code nor PTX"}, 0},
    {"kernels of others", kernels_of_others, {0}, {0}, 0},
    {0}};
