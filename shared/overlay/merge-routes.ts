import { z } from 'zod';
import { type RouteSettings, refuseUnknownTargets, routeSchema } from '#config/route-schema.ts';
import type { Settings } from '#config/schema.ts';
import { type Merge, partsOf, type RefusedDocument, reasonOf, refusal } from './document-verdict.ts';
import type { OverlayDocument } from './overlay-document.ts';

type Routes = Settings['routes'];

const servedTargets = z.custom<Pick<Settings, 'routes' | 'providers'>>().superRefine(refuseUnknownTargets);

/** A route of the file, or a new one, with its document. */
export function mergeRoute(
  base: RouteSettings | undefined,
  _id: string,
  documents: readonly OverlayDocument[],
): Merge<RouteSettings> {
  const refused: RefusedDocument[] = [];
  let merged = base;
  for (const document of documents) {
    const isNamed = partsOf(document.id, 1) !== undefined;
    const parsed = routeSchema.safeParse({ ...merged, ...document.document });
    if (isNamed && parsed.success) merged = parsed.data;
    else refused.push(refusal(document, isNamed ? reasonOf(parsed.error!) : 'its id is not a name'));
  }
  return { merged, refused };
}

/** The routes without documents whose targets no provider serves; those are named, and the file holds again. */
export function withServedTargets(
  base: Routes,
  routes: Routes,
  providers: Settings['providers'],
  documents: readonly OverlayDocument[],
): { routes: Routes; refused: RefusedDocument[] } {
  const issues = servedTargets.safeParse({ routes, providers }).error?.issues ?? [];
  const unserved = new Map(issues.map(({ path, message }) => [String(path[1]), message]));
  const wrong = documents.filter(({ kind, id }) => kind === 'routes' && unserved.has(id));
  const ofFile = (id: string) => (Object.hasOwn(base, id) ? [[id, base[id]!] as const] : []);
  const isWrong = (route: string) => wrong.some(({ id }) => id === route);
  const right = Object.entries(routes).filter(([route]) => !isWrong(route));
  const kept =
    wrong.length === 0 ? routes : Object.fromEntries([...right, ...wrong.flatMap(({ id }) => ofFile(id))]);
  return { routes: kept, refused: wrong.map((each) => refusal(each, unserved.get(each.id)!)) };
}
