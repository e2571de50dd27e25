/*
 * The fake driver: what is in an image, and which of it a device and a driver take.
 *
 * An image is PTX, machine code (an ELF file of NVIDIA's), or several of both in the format of fatbinary. Machine code
 * is for one architecture and the later ones of its generation; that of sm_90a and the like for one alone. What has no
 * machine code is compiled from PTX, if that is not newer than the driver.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstring>
#include <elf.h>

namespace fake
{

namespace
{

const uint32_t FATBIN_MAGIC = 0xba55ed50;
enum { KIND_PTX = 1, KIND_ELF = 2 };
enum : uint64_t { SPECIFIC = 0x100000, COMPRESSED = 0x2000 | 0x8000 }; /* flags of a piece */
const int CUDA_MACHINE = 190;

struct FatbinHeader {
    uint32_t magic;
    uint16_t version, header;
    uint64_t size;
};

struct PieceHeader {
    uint16_t kind, version;
    uint32_t header;
    uint64_t size;
    uint32_t compressed, options;
    uint16_t minor, major;
    uint32_t arch;
    uint32_t name[2];
    uint64_t flags;
};

/* A piece of an image. */
struct Code {
    bool is_ptx, is_specific, is_compressed;
    int arch;    /* 80 */
    int version; /* PTX ISA, 78 for 7.8, or the version of the machine code's ABI */
    std::set<std::string> kernels;
};

/* The newest PTX that this driver takes: 8.0 came with 12.0, 8.1 with 12.1, and so on, though 12.6 brought none. */
int newest_ptx()
{
    const int major = settings().driver / 1000, minor = settings().driver % 1000 / 10;
    return 10 * (major - 4) + (major == 12 && minor > 5 ? minor - 1 : minor);
}

/* ABI 8 came with Blackwell. */
int newest_abi()
{
    return settings().driver < 12080 ? 7 : 8;
}

std::set<std::string> kernels_of_ptx(const std::string &ptx)
{
    std::set<std::string> kernels;
    const char entry[] = ".entry ";
    for (size_t at = ptx.find(entry); at != std::string::npos; at = ptx.find(entry, at + 1)) {
        size_t begin = at + strlen(entry);
        kernels.insert(ptx.substr(begin, ptx.find_first_of("( \n\t", begin) - begin));
    }
    return kernels;
}

Code read_ptx(const std::string &ptx)
{
    Code code = {true, false, false, 0, 0, kernels_of_ptx(ptx)};
    int major = 0, minor = 0;
    char letter = 0;
    size_t version = ptx.find(".version "), target = ptx.find(".target sm_");
    if (version != std::string::npos)
        sscanf(ptx.c_str() + version, ".version %d.%d", &major, &minor);
    if (target != std::string::npos)
        sscanf(ptx.c_str() + target, ".target sm_%d%c", &code.arch, &letter);
    code.is_specific = letter == 'a';
    code.version = 10 * major + minor;
    return code;
}

/* A kernel has a section of its own, named after it. */
Code read_elf(const char *elf)
{
    Elf64_Ehdr header;
    memcpy(&header, elf, sizeof(header));
    const int abi = header.e_ident[EI_ABIVERSION];
    Code code = {false, false, false, (int)(header.e_flags >> (abi < 8 ? 0 : 8) & 0xff), abi, {}};
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(elf + header.e_shoff);
    const char *names = elf + sections[header.e_shstrndx].sh_offset;
    const char prefix[] = ".text.";
    for (int i = 0; i < header.e_shnum; i++)
        if (!strncmp(names + sections[i].sh_name, prefix, strlen(prefix)))
            code.kernels.insert(names + sections[i].sh_name + strlen(prefix));
    return code;
}

std::vector<Code> read_fatbin(const char *image)
{
    std::vector<Code> pieces;
    FatbinHeader fatbin;
    memcpy(&fatbin, image, sizeof(fatbin));
    for (uint64_t at = fatbin.header; at < fatbin.header + fatbin.size;) {
        PieceHeader piece;
        memcpy(&piece, image + at, sizeof(piece));
        const char *body = image + at + piece.header;
        Code code = {piece.kind == KIND_PTX, false, (piece.flags & COMPRESSED) != 0, 0, 0, {}};
        if (!code.is_compressed)
            code = code.is_ptx ? read_ptx(body) : read_elf(body);
        code.arch = (int)piece.arch;
        code.is_specific = (piece.flags & SPECIFIC) != 0;
        pieces.push_back(code);
        at += piece.header + piece.size;
    }
    return pieces;
}

/* An empty list: no image. */
std::vector<Code> read(const char *image)
{
    uint32_t magic;
    memcpy(&magic, image, sizeof(magic));
    if (magic == FATBIN_MAGIC)
        return read_fatbin(image);
    if (!memcmp(image, ELFMAG, SELFMAG) && ((const Elf64_Ehdr *)image)->e_machine == CUDA_MACHINE)
        return {read_elf(image)};
    if (strstr(image, ".version"))
        return {read_ptx(image)};
    return {};
}

bool fits(const Code &code, int sm)
{
    if (code.is_specific)
        return code.arch == sm;
    return code.arch <= sm && (code.is_ptx || code.arch / 10 == sm / 10);
}

/* The best of what fits: machine code before PTX, newer before older. */
const Code *choose(const std::vector<Code> &pieces)
{
    const Code *best = nullptr;
    for (const Code &code : pieces)
        if (fits(code, settings().sm) && (!best || std::make_tuple(!code.is_ptx, code.arch, code.is_specific) >
                                                       std::make_tuple(!best->is_ptx, best->arch, best->is_specific)))
            best = &code;
    return best;
}

} // namespace

CUresult read_image(const void *image, std::set<std::string> *kernels)
{
    const std::vector<Code> pieces = read((const char *)image);
    if (pieces.empty())
        return misuse(CUDA_ERROR_INVALID_IMAGE, "neither machine code nor PTX");
    const Code *code = choose(pieces);
    if (!code)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    if (code->is_ptx && (code->is_compressed || code->version > newest_ptx()))
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    if (!code->is_ptx && (code->is_compressed || code->version > newest_abi()))
        return CUDA_ERROR_INVALID_IMAGE;
    *kernels = code->kernels;
    return CUDA_SUCCESS;
}

} // namespace fake
