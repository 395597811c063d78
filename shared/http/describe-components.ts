import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransformObject } from 'fastify-type-provider-zod';

type Schemas = Record<string, unknown>;
const reference = (id: string) => `"#/components/schemas/${id}"`;

function referenced(schemas: Schemas, paths: string): Schemas {
  const used: Schemas = {};
  for (let text = paths; ; text = JSON.stringify(used)) {
    const found = Object.keys(schemas).filter((id) => !(id in used) && text.includes(reference(id)));
    if (found.length === 0) return used;
    for (const id of found) used[id] = schemas[id];
  }
}

/**
 * Components by the names of their schemas. The library describes every schema twice, as `Name` for what goes out
 * and `NameInput` for what comes in; what no route refers to is dropped, and `Input` where it tells nothing apart.
 */
export const describeComponents: NonNullable<FastifyDynamicSwaggerOptions['transformObject']> = (api) => {
  const described = jsonSchemaTransformObject(api) as { paths?: unknown; components: { schemas: Schemas } };
  const schemas = referenced(described.components.schemas, JSON.stringify(described.paths));
  let text = JSON.stringify({ ...described, components: { ...described.components, schemas: {} } });
  let components = JSON.stringify(schemas);
  for (const id of Object.keys(schemas)) {
    const plain = id.replace(/Input$/, '');
    if (plain in schemas) continue;
    text = text.replaceAll(reference(id), reference(plain));
    components = components.replaceAll(reference(id), reference(plain)).replace(`"${id}":`, `"${plain}":`);
  }
  const document = JSON.parse(text) as ReturnType<typeof describeComponents> & {
    components: { schemas: Schemas };
  };
  document.components.schemas = JSON.parse(components) as Schemas;
  return document;
};
