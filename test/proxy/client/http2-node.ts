/**
 * Compares a server with node:http2 (nghttp2): random clients get the same verdict of both, or a difference that is named here.
 */
import { once } from 'node:events'
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { FieldDecoder } from '../../../src/wire/http2/hpack-decoder.ts'
import { CODE, FLAG, PREFACE, TYPE } from '../../support/frames.ts'
import { answerTo, converse, type Target, type Verdict } from './http2-fuzz.ts'
import { type Script, scriptOf } from './http2-scripts.ts'

/** Conversations at the same time. */
const BATCH = 20
/** Differences without a name after which the comparison ends. */
const MOST_TOLD = 10
/** Zeros are empty fields of three bytes each; we take 512. */
const MANY_FIELDS_BYTES = 3 * 512
/** How long node:http2 may keep somebody waiting who has sent what it takes for a part of something. */
const PATIENCE_MS = 2000

/** A server of node:http2 that answers as the upstream of `echoUpstream` does. */
export async function nodeHttp2Server(): Promise<Http2Server> {
  const options = {
    settings: { enableConnectProtocol: true, initialWindowSize: 65_536, maxConcurrentStreams: 100 },
    strictSingleValueFields: false,
  }
  const server = createServer(options as object)
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const pieces: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => {
      if (stream.destroyed || stream.closed) return
      const text = answerTo(String(headers[':method']), String(headers[':path']), Buffer.concat(pieces))
      stream.respond({ ':status': 200 })
      stream.end(text)
    })
  })
  server.on('session', (session) => {
    session.on('error', () => {})
    session.socket.on('end', () => session.destroy())
  })
  server.on('sessionError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

/** Error codes that a connection may end with, by code. */
const NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(CODE).map(([name, code]) => [code, name]),
)

/** A frame of a script, with the highest stream of a request before it. */
interface Sent {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Of its payload, as it says. */
  readonly length: number
  readonly payload: Buffer
  readonly highest: number
}

function framesOf({ bytes }: Script): Sent[] {
  const frames: Sent[] = []
  let highest = 0
  for (let at = PREFACE.length; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff
    const type = bytes[at + 3] as number
    frames.push({
      type,
      flags: bytes[at + 4] as number,
      stream,
      length: end - at - 9,
      payload: bytes.subarray(at + 9, end),
      highest,
    })
    if (type === TYPE.headers) highest = Math.max(highest, stream)
    at = end
  }
  return frames
}

/** A verdict that differs on purpose: what is the cause, and why it is right. */
interface Difference {
  readonly theirs: RegExp
  readonly cause: (frame: Sent) => boolean
  readonly why: string
}

const ofRequest = ({ stream, highest }: Sent): boolean => stream !== 0 && stream <= highest

function hasSetting(payload: Buffer, ids: readonly number[]): boolean {
  for (let at = 0; at + 6 <= payload.length; at += 6) if (ids.includes(payload.readUInt16BE(at))) return true
  return false
}

/** What we take, and nghttp2 ends the connection for. */
const LAXER: readonly Difference[] = [
  {
    theirs: /^(?:streamClosed|protocol|closed)$/,
    cause: (frame) => ofRequest(frame) && (frame.type === TYPE.data || frame.type === TYPE.headers),
    why: 'RFC 9113 section 5.1: what comes on a closed stream may be ignored, or end the stream only',
  },
  {
    theirs: /^(?:protocol|internal)$/,
    cause: ({ type, flags }) => (type === TYPE.settings || type === TYPE.ping) && (flags & FLAG.ack) !== 0,
    why: 'an acknowledgement of nothing harms nobody: it counts as what only costs',
  },
  {
    theirs: /^internal$/,
    cause: ({ type }) => type === TYPE.data,
    why: 'RFC 9113 sections 6.9.1 and 8.1.1: more data than the window of a stream, or than Content-Length, is an error of the stream',
  },
  {
    theirs: /^(?:flowControl|protocol)$/,
    cause: (frame) => ofRequest(frame) && frame.type === TYPE.window,
    why: 'RFC 9113 sections 6.9 and 6.9.1: an error of the stream',
  },
  {
    theirs: /^frameSize$/,
    cause: (frame) => ofRequest(frame) && frame.type === TYPE.priority && frame.length !== 5,
    why: 'RFC 9113 section 6.3: an error of the stream',
  },
  {
    theirs: /^protocol$/,
    cause: ({ type, payload }) => type === TYPE.settings && hasSetting(payload, [8, 9]),
    why: 'RFC 9113 section 6.5.2: settings that we have no use for are ignored, whatever they say (RFC 8441, RFC 9218)',
  },
  {
    theirs: /^(?:none|closed)$/,
    cause: ({ type }) => type === TYPE.goaway,
    why: 'behind a GOAWAY of the client both may close at any time',
  },
]

/** What we end the connection for, and nghttp2 does not. */
const STRICTER: readonly Difference[] = [
  {
    theirs: /^goes on$/,
    cause: ({ type, flags }) => type === TYPE.data && (flags & FLAG.padded) !== 0,
    why: 'RFC 9113 section 6.1: padding that is as long as its frame, on a closed stream too',
  },
  {
    theirs: /^goes on$/,
    cause: ({ type, stream }) => type === TYPE.priority && stream === 0,
    why: 'RFC 9113 section 6.3',
  },
  {
    theirs: /^(?:goes on|nothing)$/,
    cause: ({ type, length }) => type === TYPE.continuation && length > 16_384,
    why: 'RFC 9113 section 4.2: nghttp2 takes CONTINUATION of any length',
  },
]

/**
 * Whether a request has a name with an upper-case letter, which makes it malformed (RFC 9113 section 8.2.1). Of a name that has other wrong
 * characters too, node:http2 leaves only the field out.
 */
function hasUpperCaseName(script: Script): boolean {
  const decoder = new FieldDecoder({ maxTableBytes: 4096 })
  const sections = framesOf(script).filter(
    ({ type, flags }) => type === TYPE.headers && (flags & (FLAG.padded | FLAG.priority)) === 0,
  )
  try {
    for (const { payload } of sections) {
      const fields = decoder.decode(payload, 2 ** 20, 2 ** 20) ?? []
      if (fields.some((text, i) => i % 2 === 0 && /[A-Z]/.test(text))) return true
    }
  } catch {
    // What can't be decoded has ended the connection.
  }
  return false
}

/** What became of a connection, in a word: it goes on, or the code of its GOAWAY. */
function wordFor({ goesOn, goaway }: Verdict): string {
  if (goesOn) return 'goes on'
  return goaway === null ? 'closed' : (NAMES[goaway] ?? String(goaway))
}

/** What became of a stream where the connection goes on; null where nothing says yet. */
function outcome({ streams }: Verdict, id: number): string | null {
  const got = streams.get(id)
  if (got?.ended === true) return got.status
  return got === undefined || got.reset === null ? null : 'reset'
}

/** @returns what differs without a name, or null */
function difference(script: Script, ours: Verdict, theirs: Verdict | null): string | null {
  const said = wordFor(ours)
  // What it waits for in vain it has not understood as an end.
  const other = theirs === null ? 'nothing' : wordFor(theirs)
  const isNamed = (list: readonly Difference[]): boolean =>
    list.some((one) => one.theirs.test(other) && framesOf(script).some(one.cause))
  if (theirs === null || ours.goesOn !== theirs.goesOn) {
    if (isNamed(ours.goesOn ? LAXER : STRICTER)) return null
    return `${said} here, ${other} at node's`
  }
  if (!ours.goesOn) return null
  for (const [id, { text }] of ours.streams) {
    const [mine, nodes] = [outcome(ours, id), outcome(theirs, id)]
    if (mine === null || nodes === null) continue
    if (mine === '200' && nodes === '200' && text !== theirs.streams.get(id)?.text)
      return `other answers on stream ${id}`
    // A proxy answers with 4xx what it can't pass on, where node:http2 resets it, or leaves it to the application.
    if (mine === nodes || mine.startsWith('4')) continue
    // What is reset may have been answered just before; more fields than we take are reset, node:http2 leaves empty names out.
    const isReset = framesOf(script).some(
      (frame) =>
        frame.stream === id && (frame.type === TYPE.reset || ofRequest(frame) || frame.length > MANY_FIELDS_BYTES),
    )
    if (!isReset && !(mine === 'reset' && hasUpperCaseName(script)))
      return `${mine} here, ${nodes} at node's on stream ${id}`
  }
  return null
}

/** How a comparison went. */
export interface Compared {
  refused: number
  wentOn: number
}

/**
 * Compares mutated scripts of the seeds `seed` to `seed + runs - 1`.
 * @param target by prior knowledge
 * @throws {Error} differences that have no name, three times in a row: the first of them
 */
export async function compareWithNode(target: Target, seed: number, runs: number): Promise<Compared> {
  const node = await nodeHttp2Server()
  const other = { port: (node.address() as AddressInfo).port, tls: false }
  const compared: Compared = { refused: 0, wentOn: 0 }
  const problems: string[] = []
  const compare = async (one: number): Promise<void> => {
    const script: Script = { ...scriptOf(one, 'http'), ending: 'reset' }
    if (script.kind !== 'mutated') return
    for (let nth = 1; ; nth++) {
      const [ours, theirs] = await Promise.all([
        converse(target, script),
        converse(other, script, PATIENCE_MS).catch(() => null),
      ])
      const problem = difference(script, ours, theirs)
      if (problem === null) {
        if (ours.goesOn) compared.wentOn++
        else compared.refused++
        return
      }
      // Answers and frames that are wrong may cross.
      if (nth === 3) {
        problems.push(`script ${one}: ${problem}`)
        return
      }
    }
  }
  try {
    for (let at = 0; at < runs && problems.length < MOST_TOLD; at += BATCH) {
      await Promise.all(Array.from({ length: Math.min(BATCH, runs - at) }, (_, n) => compare(seed + at + n)))
    }
  } finally {
    node.close()
  }
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return compared
}
