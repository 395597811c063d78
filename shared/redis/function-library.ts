/** A library of Redis Functions; its name says which text it has, so what has the name need not be loaded again. */
export interface FunctionLibrary {
  readonly name: string;
  readonly text: string;
}

/** A client as BullMQ wraps it. */
export interface FunctionClient {
  readonly isCluster: boolean;
  runCommand(name: string, args: unknown[]): Promise<unknown>;
}

interface Primary {
  function(...args: string[]): Promise<unknown>;
}

const loads = new WeakMap<FunctionClient, Promise<unknown>>();

/**
 * Loads a library where it is missing; who asks meanwhile shares the load. Redis keeps functions on its disk and on its
 * replicas, but the primaries of a cluster do not share them.
 */
export function loadLibrary(client: FunctionClient, library: FunctionLibrary): Promise<unknown> {
  const loading = loads.get(client);
  if (loading) return loading;
  const { nodes } = client as unknown as { nodes: (role: 'master') => Primary[] };
  const primaries = client.isCluster ? nodes('master') : [client as unknown as Primary];
  const load = Promise.all(primaries.map((primary) => loadInto(primary, library)));
  const shared = load.finally(() => loads.delete(client));
  loads.set(client, shared);
  return shared;
}

async function loadInto(primary: Primary, { name, text }: FunctionLibrary): Promise<void> {
  const present = (await primary.function('LIST', 'LIBRARYNAME', name)) as unknown[];
  if (present.length > 0) return;
  await primary.function('LOAD', text).catch((error: Error) => {
    // Somebody else was faster.
    if (error.message !== `ERR Library '${name}' already exists`) throw error;
  });
}

/**
 * Calls a function of a library: its name, the number of keys, keys, arguments. Survives a Redis that has lost its
 * functions (FUNCTION FLUSH, a restart without a disk, a failover): they are loaded again, once. In a pipeline the reply
 * comes with the pipeline, and whoever makes one loads the library before.
 */
export async function callFunction(
  client: FunctionClient,
  library: FunctionLibrary,
  call: unknown[],
): Promise<unknown> {
  try {
    return await client.runCommand('fcall', call);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('ERR Function not found')) throw error;
    await loadLibrary(client, library);
    return await client.runCommand('fcall', call);
  }
}
