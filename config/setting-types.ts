import { z } from 'zod';

export const milliseconds = (preset: number, min: number, max: number, reason: string) =>
  z.number().int().min(min).max(max).default(preset).describe(`${reason} Milliseconds.`);
export const seconds = (preset: number, min: number, max: number, reason: string) =>
  z.number().int().min(min).max(max).default(preset).describe(`${reason} Seconds.`);
export const count = (preset: number, min: number, max: number, reason: string) =>
  z.number().int().min(min).max(max).default(preset).describe(reason);
export const port = (preset: number, reason: string) =>
  z.coerce.number().int().min(0).max(65_535).default(preset).describe(`${reason} 0 takes any free port.`);
/** Names that become part of Redis keys and queue names: no colon, no brace, no space. */
export const name = z
  .string()
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/, 'use letters, digits, dot, underscore and dash, at most 64');
