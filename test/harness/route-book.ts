import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { FastifyInstance } from 'fastify';

export interface RouteBook {
  /** Of each server made since, in their order: its routes, as `GET /v1/jobs/:id`. */
  servers: Set<string>[];
  close(): void;
}

/** Writes down the routes of every Fastify server that is made from now on in this process: what it really answers. */
export function openRouteBook(): RouteBook {
  const servers: Set<string>[] = [];
  const onServer = (message: unknown) => {
    const routes = new Set<string>();
    servers.push(routes);
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat()) routes.add(`${each} ${url}`);
    });
  };
  subscribe('fastify.initialization', onServer);
  return { servers, close: () => void unsubscribe('fastify.initialization', onServer) };
}
