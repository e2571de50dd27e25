/*
 * Where the default model lies.
 *
 * This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef SBV_RUNTIME_DEFAULT_MODEL_H
#define SBV_RUNTIME_DEFAULT_MODEL_H

/* Path of the default model installed with the library, allocated, be it there or not; NULL if there is no memory. */
char *sbv_default_model(void);

#endif /* SBV_RUNTIME_DEFAULT_MODEL_H */
