/*
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/cuda/driver.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/loader.h"
#include "model/include/selfblindvsr.h"
#include "kernels/os.h"

static const sbv_symbol symbols[] = {
#define NEEDED(name, symbol, parameters)   {symbol, offsetof(sbv_cuda_driver, name), 0},
#define OPTIONAL(name, symbol, parameters) {symbol, offsetof(sbv_cuda_driver, name), 1},
    SBV_CUDA_FUNCTIONS(NEEDED, OPTIONAL)};

int sbv_cuda_driver_open(sbv_cuda_driver *driver, char *message, size_t size)
{
    char reason[256];
    memset(driver, 0, sizeof(*driver));
    driver->library = sbv_os_load(sbv_os_cuda_driver, reason, sizeof(reason));
    if (!driver->library) {
        snprintf(message, size, "%s cannot be loaded: %s", sbv_os_cuda_driver, reason);
        return SBV_ERROR_DEVICE;
    }
    const char *missing = sbv_load_symbols(driver->library, symbols, sizeof(symbols) / sizeof(*symbols), driver);
    if (!missing)
        return SBV_OK;
    snprintf(message, size, "%s has no %s: the driver is too old (CUDA 11.4 or later is needed)", sbv_os_cuda_driver,
             missing);
    sbv_cuda_driver_close(driver);
    return SBV_ERROR_DEVICE;
}

int sbv_cuda_driver_branch(int cuda_version)
{
    static const struct {
        int cuda, branch;
    } drivers[] = {{13000, 580}, {12090, 575}, {12080, 570}, {12060, 560}, {12050, 555},
                   {12040, 550}, {12030, 545}, {12020, 535}, {12010, 530}, {12000, 525},
                   {11080, 520}, {11070, 515}, {11060, 510}, {11050, 495}, {11040, 470}};
    for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
        if (drivers[i].cuda == cuda_version)
            return drivers[i].branch;
    return 0;
}

void sbv_cuda_driver_close(sbv_cuda_driver *driver)
{
    if (driver->library)
        sbv_os_unload(driver->library);
    memset(driver, 0, sizeof(*driver));
}
