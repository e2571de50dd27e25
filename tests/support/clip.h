/*
 * Short clips, restored from beginning to end.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_TESTS_CLIP_H
#define SBV_TESTS_CLIP_H

#include "model/include/selfblindvsr.h"

/* Describes the stream and restores `frames` pictures of packed 8-bit R, G, B, width * height * 3 bytes each; output
 * gets those `scale` times as wide and high. Returns SBV_OK, or the first error: then some are missing. */
int restore_clip(sbv_session *s, int width, int height, int frames, const unsigned char *input, int scale,
                 unsigned char *output);

#endif /* SBV_TESTS_CLIP_H */
