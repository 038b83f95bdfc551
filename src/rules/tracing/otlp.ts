/**
 * Spans as OTLP/JSON has them (opentelemetry-proto 1.x, trace/v1; the JSON encoding of the OTLP specification). Written by hand, a span
 * at a time, since the object for a serializer would cost more than the text.
 */

/** A value of an attribute; null is left out. */
export type AttributeValue = string | number | boolean | null

/** A span that has ended. */
export interface SpanData {
  readonly traceId: string
  readonly spanId: string
  /** '' for the first of a trace. */
  readonly parentId: string
  readonly name: string
  readonly kind: 'server' | 'client'
  /** Milliseconds since the epoch, with fractions. */
  readonly startMs: number
  readonly endMs: number
  /** Names and values in turn. */
  readonly attributes: readonly (string | AttributeValue)[]
  readonly failed: boolean
}

const KINDS = { server: 2, client: 3 } as const
const STATUS_ERROR = 2

/** Longer values are cut off. */
const MAX_TEXT = 1024

/** One span as JSON. */
export function spanText(span: SpanData): string {
  const parent = span.parentId === '' ? '' : `"parentSpanId":"${span.parentId}",`
  const status = span.failed ? `,"status":{"code":${STATUS_ERROR}}` : ''
  return `{"traceId":"${span.traceId}","spanId":"${span.spanId}",${parent}"name":${textOf(span.name)},"kind":${KINDS[span.kind]},"startTimeUnixNano":"${nanoseconds(span.startMs)}","endTimeUnixNano":"${nanoseconds(Math.max(span.endMs, span.startMs))}","attributes":[${attributesText(span.attributes)}]${status}}`
}

function attributesText(attributes: readonly (string | AttributeValue)[]): string {
  let text = ''
  for (let at = 0; at < attributes.length; at += 2) {
    const value = attributes[at + 1] as AttributeValue
    if (value === null) continue
    text += `${text === '' ? '' : ','}{"key":"${attributes[at] as string}","value":${valueText(value)}}`
  }
  return text
}

function valueText(value: string | number | boolean): string {
  if (typeof value === 'string') return `{"stringValue":${textOf(value)}}`
  if (typeof value === 'boolean') return `{"boolValue":${value}}`
  // 64-bit integers are strings in the JSON of protobuf.
  return Number.isInteger(value) ? `{"intValue":"${value}"}` : `{"doubleValue":${value}}`
}

function textOf(text: string): string {
  return JSON.stringify(text.length > MAX_TEXT ? text.slice(0, MAX_TEXT).toWellFormed() : text.toWellFormed())
}

/** To the microsecond, which is what a double has room for. */
function nanoseconds(ms: number): string {
  return `${Math.round(ms * 1000)}000`
}

/**
 * The beginning and the end of a request to a collector; the spans stand between, with commas.
 * @param resource names and values in turn: the service that has made them
 */
export function envelope(resource: readonly (string | AttributeValue)[], version: string): readonly [string, string] {
  // Names of the operator's own are quoted like their values.
  const named = resource.map((one, at) => (at % 2 === 0 ? JSON.stringify(String(one)).slice(1, -1) : one))
  return [
    `{"resourceSpans":[{"resource":{"attributes":[${attributesText(named)}]},"scopeSpans":[{"scope":{"name":"banyan","version":${JSON.stringify(version)}},"spans":[`,
    ']}]}]}',
  ]
}
