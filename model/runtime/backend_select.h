/*
 * The choice of a backend.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_BACKEND_SELECT_H
#define SBV_RUNTIME_BACKEND_SELECT_H

#include "model/runtime/engine.h"

/* Opens the backend that e->config asks for -> e->exec.backend, NULL for the CPU; *replaceable: it is a GPU that the
 * CPU may stand in for. Errors: ARGUMENT, DEVICE, MEMORY, reported. */
int sbv_select_backend(sbv_engine *e, int *replaceable);

#endif /* SBV_RUNTIME_BACKEND_SELECT_H */
