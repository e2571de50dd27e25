/*
 * The fake driver: the work in launches. FAKE_CUDA_WORK=path lists it instead of doing it, so that frames of any size
 * take no time: at the end of the process the file has a line for each kernel and shape,
 *
 *     KERNEL<tab>SHAPE<tab>LAUNCHES<tab>FLOP<tab>BYTES
 *
 * with what one launch computes (a product and a sum are two) and what it has to read and write, each once, of the
 * memory of the device.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/cuda/emu/fake_cuda.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "kernels/cuda/colour_params.h"
#include "kernels/cuda/conv_params.h"
#include "kernels/cuda/params.h"

namespace fake
{

namespace
{

struct Load {
    std::string shape;
    double flop, bytes;
};

using Key = std::tuple<std::string, std::string, double, double>;
std::map<Key, long> *list; /* never destroyed */

double size_of(const sbv_map &map)
{
    return map.data ? (double)map.w * map.h * map.c * (map.type == SBV_MAP_F32 ? 4 : 2) : 0;
}

std::string describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
std::string describe(const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return text;
}

template <class T> T args_of(const void *parameter)
{
    T args;
    memcpy(&args, parameter, sizeof(args));
    return args;
}

/* All operations of a batch, which are alike. */
Load times(Load work, int count)
{
    if (count > 1)
        work.shape += describe(", batch of %d", count);
    return {work.shape, work.flop * count, work.bytes * count};
}

Load convolution(int ksize, int in, int out, int w, int h, double in_bytes, bool residual, double pixel)
{
    const double pixels = (double)w * h, weights = (double)ksize * ksize * in * out;
    return {describe("%dx%d, %d to %d, %dx%d%s", ksize, ksize, in, out, w, h, residual ? ", residual" : ""),
            2 * pixels * weights, in_bytes + pixels * out * pixel * (residual ? 2 : 1) + weights * 2};
}

/* Weights that are the same for all of a batch are read once. The shape is the largest one. */
Load conv(void *const *parameters, int count)
{
    const sbv_conv_cuda_args p = args_of<sbv_conv_cuda_args>(parameters[0]);
    const sbv_conv_batch batch = args_of<sbv_conv_batch>(parameters[1]);
    const sbv_conv_args &a = p.conv;
    Load sum = {"", 0, 0};
    double most = 0;
    for (int i = 0; i < count; i++) {
        const sbv_conv_member &m = batch.member[i];
        const double pixels = (double)(m.x1 - m.x0) * p.rows, share = pixels / ((double)a.out.w * a.out.h);
        Load own = convolution(a.ksize, a.in.c, a.out.c, m.x1 - m.x0, p.rows, size_of(a.in) * share,
                               a.residual.data != nullptr, a.out.type == SBV_MAP_F32 ? 4 : 2);
        if (i > 0 && m.weights == batch.member[0].weights)
            own.bytes -= 2.0 * a.ksize * a.ksize * a.in.c * a.out.c;
        if (own.flop > most)
            sum.shape = own.shape;
        most = own.flop > most ? own.flop : most;
        sum.flop += own.flop;
        sum.bytes += own.bytes;
    }
    if (count > 1)
        sum.shape += describe(", batch of %d", count);
    return sum;
}

/* The name of the kernel says how many outputs there are, and whether a residual. */
Load conv_wgmma(const std::string &kernel, const void *parameter)
{
    const sbv_conv_wgmma_args a = args_of<sbv_conv_wgmma_args>(parameter);
    const int in = a.chunks * SBV_WGMMA_CHANNELS, w = a.x1 - a.x0, h = a.y1 - a.y0;
    const int out = kernel.find("_128") != std::string::npos ? 128 : 64;
    const bool residual = kernel.find("_residual") != std::string::npos;
    return convolution(3, in, out, w, h, (double)w * h * in * 2, residual, 2);
}

Load between(const sbv_map &in, const sbv_map &out, double flop)
{
    return {describe("%dx%dx%d to %dx%dx%d", in.w, in.h, in.c, out.w, out.h, out.c), flop, size_of(in) + size_of(out)};
}

Load cost_volume(const void *parameter)
{
    const sbv_cost_params p = args_of<sbv_cost_params>(parameter);
    const sbv_cost_args &a = p.a;
    return times({describe("%dx%dx%d", a.first.w, a.first.h, a.first.c),
                  2.0 * SBV_COST_CHANNELS * a.first.w * a.first.h * a.first.c,
                  size_of(a.first) + size_of(a.second) + size_of(a.out)},
                 p.batch.count);
}

/* Every output is made of four of the sixteen taps. The shape is that with most inputs. */
Load deconv(const void *parameter)
{
    const sbv_deconv_params p = args_of<sbv_deconv_params>(parameter);
    Load sum = {"", 0, 0};
    int most = 0;
    for (int i = 0; i < p.count; i++) {
        const sbv_map &in = p.a[i].in, &out = p.a[i].out;
        const Load own = between(in, out, 8.0 * in.c * out.w * out.h * out.c);
        if (in.c > most)
            sum.shape = own.shape;
        most = in.c > most ? in.c : most;
        sum.flop += own.flop;
        sum.bytes += own.bytes;
    }
    if (p.count > 1)
        sum.shape += describe(", batch of %d", p.count);
    return sum;
}

Load warp(const void *parameter)
{
    const sbv_warp_params p = args_of<sbv_warp_params>(parameter);
    Load work = between(p.a.in, p.a.out, 0);
    work.bytes += (double)p.a.out.w * p.a.out.h * 8;
    return times(work, p.batch.count);
}

template <class T> Load moved(const void *parameter)
{
    const T p = args_of<T>(parameter);
    return times(between(p.a.in, p.a.out, 0), p.batch.count);
}

double written(const sbv_colour_out_params &p)
{
    double bytes = 0;
    for (int i = 0; i < 3; i++)
        bytes += (double)p.target[i].bytes * p.w * (p.y_end - p.y_begin) /
                 (i && !p.rgb ? (1 << p.sub_w) * (1 << p.sub_h) : 1);
    return bytes;
}

Load picture(const void *parameter)
{
    const sbv_colour_picture_params p = args_of<sbv_colour_picture_params>(parameter);
    Load work = between(p.outputs, p.outputs, 0);
    const double share = (double)(p.colour.y_end - p.colour.y_begin) / p.colour.h;
    work.shape = describe("%dx%d, rows %d to %d", p.colour.w, p.colour.h, p.colour.y_begin, p.colour.y_end);
    work.bytes = (size_of(p.outputs) + size_of(p.rgb)) * share + written(p.colour);
    return work;
}

Load colour_in(const void *parameter)
{
    const sbv_colour_in_params p = args_of<sbv_colour_in_params>(parameter);
    const double pixels = (double)p.w * p.h, sample = p.source[0].bytes;
    const double chroma = p.components == 1 ? 0 : 2.0 / ((1 << p.sub_w) * (1 << p.sub_h));
    return {describe("%dx%d", p.w, p.h), 0, pixels * (12 + sample * (1 + chroma))};
}

/* count: blocks along z. */
Load work_of(const std::string &kernel, void *const *parameters, int count)
{
    auto begins = [&](const char *name) { return kernel.compare(0, strlen(name), name) == 0; };
    const void *parameter = parameters[0];
    if (begins("sbv_conv_wgmma"))
        return conv_wgmma(kernel, parameter);
    if (begins("sbv_conv_mma") || kernel == "sbv_conv_f32")
        return conv(parameters, count);
    if (kernel == "sbv_cost_volume")
        return cost_volume(parameter);
    if (kernel == "sbv_deconv")
        return deconv(parameter);
    if (kernel == "sbv_warp")
        return warp(parameter);
    if (kernel == "sbv_copy")
        return moved<sbv_copy_params>(parameter);
    if (begins("sbv_resize"))
        return moved<sbv_resize_params>(parameter);
    if (begins("sbv_picture"))
        return picture(parameter);
    if (kernel == "sbv_colour_in")
        return colour_in(parameter);
    return {"", 0, 0};
}

__attribute__((destructor)) void write_list()
{
    const char *path = getenv("FAKE_CUDA_WORK");
    FILE *file = path && list ? fopen(path, "w") : nullptr;
    if (!file)
        return;
    for (auto &entry : *list)
        fprintf(file, "%s\t%s\t%ld\t%.0f\t%.0f\n", std::get<0>(entry.first).c_str(), std::get<1>(entry.first).c_str(),
                entry.second, std::get<2>(entry.first), std::get<3>(entry.first));
    fclose(file);
}

} // namespace

bool lists_work()
{
    static const bool wanted = getenv("FAKE_CUDA_WORK") != nullptr;
    return wanted;
}

bool list_work(const char *kernel, void *const *parameters, int count)
{
    if (!lists_work())
        return false;
    if (!list)
        list = new std::map<Key, long>();
    const Load work = work_of(kernel, parameters, count);
    ++(*list)[Key(kernel, work.shape, work.flop, work.bytes)];
    return true;
}

} // namespace fake
