/** Other addresses of our routes: those of other gateways, and of Azure's SDK, which names the model in the body too. */
const aliases: [alias: RegExp, route: string][] = [
  [/^\/(openai|anthropic)\/v1\//, '/v1/'],
  [/^\/gemini\/v1beta\//, '/v1beta/'],
  // Google's SDK asks under one version or the other, depending on its own.
  [/^\/v1(alpha)?\/models\/(?=[^?]+:[a-zA-Z]+(\?|$))/, '/v1beta/models/'],
  [/^\/openai\/deployments\/[^/]+\//, '/v1/'],
  [/^\/openai\/(?=(responses|models|files|batches)\b)/, '/v1/'],
];

/** The URL under which a request is routed. */
export function rewriteUrl(url = '/'): string {
  for (const [alias, route] of aliases) if (alias.test(url)) return url.replace(alias, route);
  return url;
}
