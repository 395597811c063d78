import type { FastifyInstance } from 'fastify';
import type { Clock } from '#shared/kernel/clock.ts';
import { answerBrokenHttp } from './answer-errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long a caller of this route may take to send its whole request, when it is not the usual time. */
    receiveMs?: number;
  }
}

/**
 * Bounds the time a caller takes to send its request. Node has one time-out for all routes, and uploads need a longer
 * one than calls; so each request with a body is held to that of its route.
 */
export function limitReceiving(app: FastifyInstance, clock: Clock, usualMs: number): void {
  app.addHook('onRequest', async ({ raw, headers, routeOptions }) => {
    if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return;
    const timer = clock.after(routeOptions.config.receiveMs ?? usualMs, () => {
      const late = Object.assign(new Error('request time-out'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
      if (!raw.complete) answerBrokenHttp(late, raw.socket);
    });
    raw.once('close', () => timer.cancel());
  });
}
