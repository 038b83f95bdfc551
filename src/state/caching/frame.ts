/**
 * Stored answers as bytes, for stores outside this process: a version, a checksum, the head as a JSON array, the body as it is.
 *
 * ```text
 * byte   0        1..4    5     6..9         10..               10 + head length..
 *        version  CRC-32  kind  head length  head (UTF-8 JSON)  body
 * ```
 *
 * The checksum covers everything behind it. Whatever is not exactly this is no entry.
 */
import { crc32 } from 'node:zlib'
import { areNames, isFieldValue, isHeaderList, isStoredMeta, type StoredMeta } from '../../rules/caching/meta.ts'
import { Content, type MadeFor } from './content.ts'
import type { Position } from './log-order.ts'
import type { CacheEntry } from './store.ts'

/** Raised with every change of the form; entries of another version are misses. */
export const FRAME_VERSION = 4

const ANSWER = 0
const VARIANTS = 1
const PREFIX_BYTES = 10
const CHECKSUM_AT = 1
const KIND_AT = 5
const HEAD_LENGTH_AT = 6

/** By position, not by name: names would be more than half of it, and are parsed anew with each hit. */
type AnswerHead = readonly [
  reason: string,
  position: Position,
  rawHeaders: readonly string[],
  ...meta: ReturnType<typeof metaList>,
  ...madeFor: ReturnType<typeof madeForList>,
]
type VariantsHead = readonly [key: string, vary: readonly string[], untilMs: number]

/** An entry as bytes, the body copied once. */
export function encodeEntry(entry: CacheEntry): Buffer {
  if (entry.kind === 'variants') return frame(VARIANTS, [entry.key, entry.vary, entry.untilMs], null)
  const { meta, reason, position, rawHeaders, content } = entry
  return frame(ANSWER, [reason, position, rawHeaders, ...metaList(meta), ...madeForList(content.madeFor)], content)
}

/** In the order that `metaOf` reads. */
function metaList(meta: StoredMeta) {
  return [
    meta.status,
    meta.bornMs,
    meta.storedMs,
    meta.dateMs,
    meta.freshUntilMs,
    meta.lifetime,
    meta.noCache,
    meta.mustRevalidate,
    meta.staleWhileRevalidateMs,
    meta.staleIfErrorMs,
    meta.usefulUntilMs,
    meta.forAuthorized,
    meta.etag,
    meta.lastModified,
    meta.lastModifiedMs,
    meta.vary,
  ] as const
}

/** In the order that `madeOf` reads. */
function madeForList({ key, print, parts, vary, selected }: MadeFor) {
  return [key, print, parts, vary, selected] as const
}

function frame(kind: number, head: AnswerHead | VariantsHead, body: Content | null): Buffer {
  const text = JSON.stringify(head)
  const headBytes = Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + headBytes + (body?.length ?? 0))
  bytes[0] = FRAME_VERSION
  bytes[KIND_AT] = kind
  bytes.writeUInt32LE(headBytes, HEAD_LENGTH_AT)
  bytes.write(text, PREFIX_BYTES, 'utf8')
  body?.copyTo(bytes, PREFIX_BYTES + headBytes)
  bytes.writeUInt32LE(crc32(bytes.subarray(KIND_AT)), CHECKSUM_AT)
  return bytes
}

/**
 * Reads an entry. Its body is a window of `bytes`.
 * @returns null where the bytes are none of this version, whole and unchanged
 */
export function decodeEntry(bytes: Buffer): CacheEntry | null {
  if (bytes.length < PREFIX_BYTES || bytes[0] !== FRAME_VERSION) return null
  const bodyAt = PREFIX_BYTES + bytes.readUInt32LE(HEAD_LENGTH_AT)
  if (bodyAt > bytes.length || crc32(bytes.subarray(KIND_AT)) !== bytes.readUInt32LE(CHECKSUM_AT)) return null
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', PREFIX_BYTES, bodyAt))
  } catch {
    return null
  }
  // The checksum says that nothing was changed on the way, not who wrote it.
  if (!Array.isArray(head)) return null
  return bytes[KIND_AT] === VARIANTS ? variantsOf(head) : answerOf(head, bytes.subarray(bodyAt))
}

function variantsOf([key, vary, untilMs]: readonly unknown[]): CacheEntry | null {
  if (typeof key !== 'string' || !areNames(vary) || !Number.isFinite(untilMs)) return null
  return { kind: 'variants', key, vary, untilMs: untilMs as number }
}

/** Where the values of `metaList` and those of `madeForList` begin. */
const META_AT = 3
const MADE_AT = 19
const ANSWER_LENGTH = 24

function answerOf(head: readonly unknown[], body: Buffer): CacheEntry | null {
  if (head.length !== ANSWER_LENGTH) return null
  const [reason, position, rawHeaders] = head
  const meta = metaOf(head)
  const made = madeOf(head)
  if (!isStoredMeta(meta) || !isFieldValue(reason) || typeof position !== 'string') return null
  if (!isHeaderList(rawHeaders) || !isMade(made)) return null
  const known = { meta, reason, rawHeaders, position }
  return { kind: 'answer', ...known, content: new Content(made, body), checked: 0, refreshAfterMs: 0, written: null }
}

function metaOf(head: readonly unknown[]): Record<keyof StoredMeta, unknown> {
  return {
    status: head[META_AT],
    bornMs: head[META_AT + 1],
    storedMs: head[META_AT + 2],
    dateMs: head[META_AT + 3],
    freshUntilMs: head[META_AT + 4],
    lifetime: head[META_AT + 5],
    noCache: head[META_AT + 6],
    mustRevalidate: head[META_AT + 7],
    staleWhileRevalidateMs: head[META_AT + 8],
    staleIfErrorMs: head[META_AT + 9],
    usefulUntilMs: head[META_AT + 10],
    forAuthorized: head[META_AT + 11],
    etag: head[META_AT + 12],
    lastModified: head[META_AT + 13],
    lastModifiedMs: head[META_AT + 14],
    vary: head[META_AT + 15],
  }
}

function madeOf(head: readonly unknown[]): Record<keyof MadeFor, unknown> {
  return {
    key: head[MADE_AT],
    print: head[MADE_AT + 1],
    parts: head[MADE_AT + 2],
    vary: head[MADE_AT + 3],
    selected: head[MADE_AT + 4],
  }
}

function isMade(made: Record<keyof MadeFor, unknown>): made is MadeFor & Record<keyof MadeFor, unknown> {
  const { key, print, parts, vary, selected } = made
  return (
    typeof key === 'string' &&
    typeof print === 'string' &&
    typeof parts === 'string' &&
    typeof selected === 'string' &&
    areNames(vary)
  )
}
