import type { FastifyInstance } from 'fastify';
import { type OperationsOptions, operationsAnswer } from '#shared/telemetry/operations-server.ts';

/** What every process tells on its operations port, without a key: /healthz, /readyz, /metrics and the reports. */
export function operationsRoutes(app: FastifyInstance, options: OperationsOptions): void {
  const paths = ['/healthz', '/readyz', '/metrics', ...Object.keys(options.reports ?? {})];
  for (const path of paths) {
    app.get(path, { schema: { tags: ['operations'] } }, async (_request, reply) => {
      const { status, type, body } = (await operationsAnswer(options, path))!;
      return reply.code(status).type(type).send(body);
    });
  }
}
