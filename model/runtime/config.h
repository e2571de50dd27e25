/*
 * Checks of what a caller asks for, each with a message that names the value and the limit.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_CONFIG_H
#define SBV_RUNTIME_CONFIG_H

#include "model/runtime/engine.h"

/* Errors: ARGUMENT, reported. */
int sbv_check_config(sbv_engine *e);

/* A description, by what the engine can do. Errors: ARGUMENT, reported. */
int sbv_check_stream(sbv_engine *e, const sbv_stream *stream);

/* The planes of a frame that the caller gave, before a byte of them is touched: of the size described, or `scale` times
 * as large. Errors: ARGUMENT, reported. */
int sbv_check_frame(sbv_engine *e, const sbv_frame *frame, int scale);

#endif /* SBV_RUNTIME_CONFIG_H */
