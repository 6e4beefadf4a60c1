// Calls one method of npm's dicomweb-client and prints what came of it.
//   node call_dicomweb_client.mjs <bundle>     with {url, headers, method, options} as JSON on standard input
// Bytes are {"$bytes": base64}, both ways. Without a method, the names of all public ones are printed.

import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { XMLHttpRequest } from './xml_http_request.mjs';

globalThis.XMLHttpRequest = XMLHttpRequest;
console.debug = console.error; // the client's own remarks are no result
const { api } = createRequire(import.meta.url)(process.argv[2]);
const { DICOMwebClient } = api;

const fromJson = (key, value) =>
  value && typeof value === 'object' && '$bytes' in value
    ? new Uint8Array(Buffer.from(value.$bytes, 'base64')).buffer
    : value;

const toJson = value => {
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(toJson);
  return value;
};

const call = JSON.parse(await text(process.stdin), fromJson);
let result;
if (call.method) {
  const progress = [];
  const client = new DICOMwebClient({ url: call.url, headers: call.headers ?? {}, verbose: false });
  const options = { ...call.options };
  if (call.watched) options.request = { progressCallback: event => progress.push(event.loaded) };
  try {
    result = { value: toJson(await client[call.method](options)), progress };
  } catch (error) {
    result = { status: error.status ?? null, message: error.message };
  }
} else {
  const names = Object.getOwnPropertyNames(DICOMwebClient.prototype);
  result = { value: names.filter(name => !name.startsWith('_') && name !== 'constructor') };
}
process.stdout.write(JSON.stringify(result));
