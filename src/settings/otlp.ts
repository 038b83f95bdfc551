/**
 * Where spans are sent, and what is sent with them: `--otlp`, and the environment variables of OpenTelemetry that go with it.
 */

/** An invalid value; the message omits the flag. */
export class OtlpError extends Error {}

/** Where spans are sent. */
export interface OtlpSettings {
  /** Of the collector, with its path: `http://127.0.0.1:4318/v1/traces`. */
  readonly url: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
  /** Names and values in turn: what the collector is told of the service. */
  readonly resource: readonly string[]
  /** The share of exchanges that are sampled where no trusted parent decides, in [0, 1]. */
  readonly share: number
}

const TRACES = '/v1/traces'

/** Reads a URL of a collector. Without a path it gets the one of OTLP. @throws {OtlpError} */
export function readCollector(text: string): string | null {
  if (text === '') return null
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '')
    throw new OtlpError(`invalid URL '${text}': expected http://HOST:4318 or https://HOST`)
  // It would stand in `ps` and in logs.
  if (url.username !== '' || url.password !== '')
    throw new OtlpError('a URL must not include a user name or password: use OTEL_EXPORTER_OTLP_HEADERS')
  if (url.hash !== '') throw new OtlpError('a URL must not include a fragment')
  if (url.pathname === '/') url.pathname = TRACES
  return url.href
}

/** Reads a percent. @throws {OtlpError} */
export function readShare(text: string): number {
  const percent = /^\d{1,3}(?:\.\d{1,4})?$/.test(text) ? Number(text) : Number.NaN
  if (percent >= 0 && percent <= 100) return percent / 100
  throw new OtlpError(`invalid percent '${text}': must be 0 to 100`)
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
/** Headers that the request has by itself. */
const OWN = new Set([
  'content-length',
  'content-type',
  'transfer-encoding',
  'host',
  'connection',
  'expect',
  'te',
  'upgrade',
])

/**
 * What OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say.
 * @throws {OtlpError} for one that can't be sent
 */
export function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Pick<OtlpSettings, 'headers' | 'resource'> {
  const variable = env.OTEL_EXPORTER_OTLP_TRACES_HEADERS === undefined ? HEADERS : TRACES_HEADERS
  const headers = pairsOf(variable, env[variable] ?? '')
  for (let at = 0; at < headers.length; at += 2) {
    const [name, value] = [headers[at] as string, headers[at + 1] as string]
    if (!TOKEN.test(name) || !VALUE.test(value) || OWN.has(name.toLowerCase()))
      // Values are secrets.
      throw new OtlpError(`${variable}: the header ${JSON.stringify(name.slice(0, 60))} can't be sent`)
  }
  const attributes = pairsOf('OTEL_RESOURCE_ATTRIBUTES', env.OTEL_RESOURCE_ATTRIBUTES ?? '')
  const named = env.OTEL_SERVICE_NAME ?? ''
  const has = attributes.some((name, at) => at % 2 === 0 && name === SERVICE_NAME)
  if (named === '') return { headers, resource: has ? attributes : [SERVICE_NAME, 'banyan', ...attributes] }
  const others = attributes.filter((_, at) => attributes[at - (at % 2)] !== SERVICE_NAME)
  return { headers, resource: [SERVICE_NAME, named, ...others] }
}

const HEADERS = 'OTEL_EXPORTER_OTLP_HEADERS'
const TRACES_HEADERS = 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'
const SERVICE_NAME = 'service.name'

/** `a=1,b=x%20y` (W3C Baggage), as names and values in turn. */
function pairsOf(variable: string, text: string): string[] {
  return text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .flatMap((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 1) throw new OtlpError(`${variable}: expected NAME=VALUE, with a comma between two`)
      try {
        return [pair.slice(0, equals).trim(), decodeURIComponent(pair.slice(equals + 1).trim())]
      } catch {
        throw new OtlpError(`${variable}: the value of ${pair.slice(0, equals)} has an invalid escape`)
      }
    })
}
