import type { FilePart } from './call.ts';
import { malformed, untranslatable } from './fields.ts';

/** What the end of an address says of a picture; providers look into the bytes, but Gemini wants a name for them. */
const pictureTypes: Record<string, string> = { png: 'image/png', webp: 'image/webp', gif: 'image/gif' };
const usualPicture = 'image/jpeg';

const dataUrl = /^data:([^;,]+)(?:;[^;,]+)*;base64,/;

/** A file given inline, in base64. */
export function inlineFile(mediaType: string, data: string, filename?: string): FilePart {
  return { type: 'file', mediaType, data: { type: 'data', data }, ...(filename ? { filename } : {}) };
}

/** A file as OpenAI's dialects name one: by `data:` URL or by address. `kind` is what an address is taken for. */
export function fileOfUrl(url: string, kind: string, param: string, filename?: string): FilePart {
  const inline = dataUrl.exec(url.slice(0, 200));
  if (inline) return inlineFile(inline[1]!, url.slice(inline[0].length), filename);
  if (url.startsWith('data:')) throw malformed(param, 'a data: URL must be in base64');
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw untranslatable(param, 'only http, https and data: URLs can be translated');
  const data = { type: 'url', url: new URL(url) } as const;
  const mediaType = kind === 'image/*' ? pictureTypeOf(data.url) : kind;
  return { type: 'file', mediaType, data, ...(filename ? { filename } : {}) };
}

function pictureTypeOf({ pathname }: URL): string {
  const ending = pathname.slice(pathname.lastIndexOf('.') + 1).toLowerCase();
  return Object.hasOwn(pictureTypes, ending) ? pictureTypes[ending]! : usualPicture;
}
