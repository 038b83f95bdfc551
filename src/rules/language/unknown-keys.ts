/**
 * Keys that a map does not have: what was meant by them, or where they belong.
 */
import type { z } from 'zod'
import { nearestWord } from '../values/problem.ts'
import { isOptional, keysAt } from './places.ts'

type Path = readonly (string | number)[]

/** Keys that other programs have for what banyan calls otherwise; of several, the one that the map can have. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  addheaders: ['headers'],
  address: ['url', 'servers'],
  addresses: ['servers'],
  allow: ['clients'],
  any: ['anyOf'],
  attempts: ['on'],
  backend: ['to', 'servers'],
  backends: ['upstreams', 'servers'],
  cafile: ['ca'],
  caseinsensitive: ['caseInsensitivePaths'],
  certificate: ['cert'],
  cidr: ['clients'],
  cidrs: ['clients'],
  circuitbreaker: ['breaker'],
  clientip: ['clients'],
  clientips: ['clients'],
  cluster: ['to'],
  clusters: ['upstreams'],
  ciphersuites: ['ciphers'],
  cookie: ['cookies'],
  defaultbackend: ['default'],
  domain: ['hosts'],
  domains: ['hosts'],
  endpoint: ['path', 'servers', 'url'],
  endpoints: ['servers'],
  expect: ['status'],
  expectedstatus: ['status'],
  fallbackon: ['on'],
  finalslash: ['trailingSlash'],
  frequency: ['every'],
  grace: ['staleWhileRevalidate'],
  header: ['headers'],
  healthcheck: ['health'],
  healthpath: ['health'],
  host: ['url', 'hosts'],
  hostname: ['url', 'servers', 'hosts', 'serverName'],
  ignorecase: ['caseInsensitivePaths'],
  insecureskipverify: ['verify'],
  interval: ['every'],
  ips: ['clients'],
  jsessionid: ['pathParameters'],
  keepalivetimeout: ['idle'],
  lb: ['servers'],
  location: ['path'],
  locations: ['routes'],
  matrixparameters: ['pathParameters'],
  maxage: ['ttl'],
  maxconnections: ['maxConcurrent'],
  maxrequests: ['maxConcurrent'],
  maxsize: ['maxBody'],
  method: ['methods'],
  minprotocol: ['minVersion'],
  mirror: ['shadow'],
  canary: ['ramp'],
  rollout: ['ramp'],
  missingkey: ['noKey'],
  name: ['id'],
  nodes: ['servers'],
  nokeys: ['noKey'],
  oneof: ['anyOf'],
  or: ['anyOf'],
  order: ['priority'],
  origin: ['url', 'servers'],
  origins: ['servers'],
  params: ['query'],
  passivehealthcheck: ['ejection'],
  pathprefix: ['path'],
  pathrewrite: ['rewrite'],
  pattern: ['path'],
  percentage: ['percent'],
  period: ['every'],
  port: ['url', 'servers'],
  precedence: ['priority'],
  prefix: ['path'],
  proxypass: ['to'],
  queryparams: ['query'],
  requestbuffering: ['bufferRequests'],
  requestheaders: ['headers', 'rewrite'],
  rank: ['priority'],
  ratio: ['percent'],
  read: ['idle'],
  remoteaddress: ['clients'],
  response: ['headers'],
  responseheaders: ['answer'],
  retries: ['fallback'],
  retry: ['fallback'],
  retryon: ['on'],
  rewritepath: ['rewrite'],
  rule: ['match'],
  rules: ['routes'],
  send: ['idle'],
  server: ['servers'],
  servername: ['serverName'],
  service: ['to'],
  services: ['upstreams'],
  session: ['sticky'],
  skipverify: ['verify'],
  sni: ['serverName'],
  sourceip: ['clients'],
  sourcerange: ['clients'],
  split: ['percent'],
  sslciphers: ['ciphers'],
  stalettl: ['staleWhileRevalidate'],
  stripprefix: ['rewrite'],
  statuses: ['status', 'on'],
  swr: ['staleWhileRevalidate'],
  target: ['to', 'servers', 'url'],
  targets: ['servers'],
  threshold: ['failureRatio'],
  timetolive: ['ttl'],
  tunnel: ['upgraded'],
  trailingslashes: ['trailingSlash'],
  upstream: ['to'],
  uri: ['path', 'url', 'servers'],
  url: ['servers', 'path'],
  urls: ['servers'],
  verbs: ['methods'],
  websocket: ['upgraded'],
  weight: ['percent'],
  weights: ['percent', 'servers'],
  write: ['idle'],
}

/** A switch that other programs have. */
const SWITCH = /^(?:enabled?|disabled?|active|on)$/i

/** What an unknown key stands for. */
export interface Meaning {
  /** The key of the same map that was meant, or below which it belongs. */
  readonly key?: string | undefined
  readonly hint: string
  /** Whether the key is only misspelt: then another that means the same is a mistake of its own. */
  readonly misspelt?: boolean
}

/** A map with a key that it can't have. */
export interface Place {
  readonly path: Path
  /** The keys that it can have. */
  readonly known: readonly string[]
  readonly map: Readonly<Record<string, unknown>>
  /** The schema that `path` leads into. */
  readonly root: z.core.$ZodType
}

/** What was meant by a key, or else the keys that the map can have. */
export function meaningOf(key: string, place: Place): Meaning {
  const { known, map, path } = place
  const plain = key.toLowerCase().replace(/[_-]/g, '')
  const words = [key, ...(Object.hasOwn(SYNONYMS, plain) ? (SYNONYMS[plain] as readonly string[]) : [])]
  const synonym = words.find((word) => known.includes(word) && !Object.hasOwn(map, word))
  if (synonym === 'url' || synonym === 'servers') return { key: synonym, hint: originHint(synonym, key, map) }
  if (synonym !== undefined) return { key: synonym, hint: `did you mean \`${synonym}\`?` }
  const present = words.find((word) => known.includes(word))
  if (present !== undefined) return { hint: `use \`${present}\`` }
  for (const word of words) {
    const meaning = below(word, key, place)
    if (meaning !== undefined) return meaning
  }
  const around = above(key, place)
  if (around !== undefined) return around
  const near = nearestWord(key, known)
  if (near !== undefined) return { key: near, hint: `did you mean \`${near}\`?`, misspelt: true }
  const own = path.findLast((part) => typeof part === 'string')
  if (SWITCH.test(key) && typeof map[key] === 'boolean' && own !== undefined) {
    const isOn = map[key] !== /^disabled?$/i.test(key)
    return { hint: isOn ? `leave ${key} out` : `leave ${own} out` }
  }
  return { hint: `known keys: ${known.join(', ')}` }
}

/** `address: 10.0.0.5` with or without `port: 80` where a URL is expected. */
function originHint(word: 'url' | 'servers', key: string, map: Place['map']): string {
  const names = ['url', 'address', 'host', 'hostname', 'server', 'target', 'endpoint', 'origin', 'backend', 'uri']
  const said = [key, ...names].map((name) => map[name]).find((value) => typeof value === 'string')
  if (said === undefined || String(said).length > 60) return `did you mean \`${word}\`?`
  const text = String(said)
  const scheme = /^https?:\/\//.test(text) ? '' : 'http://'
  const port = map.port === undefined || /:\d+$/.test(text) ? '' : `:${map.port}`
  const url = `${scheme}${text}${port}`
  return word === 'url' ? `write url: ${url}` : `write servers: [${url}]`
}

/** A key of one of the maps that stand beside it. */
function below(word: string, key: string, { path, known, map, root }: Place): Meaning | undefined {
  const maps = known.filter((name) => Object.hasOwn(keysAt(root, [...path, name]) ?? {}, word))
  const empty = maps.find((name) => map[name] === null)
  if (empty !== undefined) return { key: empty, hint: `indent ${word} below ${empty}` }
  const missing = maps.find((name) => !Object.hasOwn(map, name) && !isOptional(keysAt(root, path)?.[name]))
  const [only, ...others] = missing === undefined ? maps : [missing]
  if (only === undefined) return undefined
  if (others.length > 0) return { hint: `it belongs below ${maps.join(' or ')}` }
  if (Object.hasOwn(map, only)) return { hint: `it belongs below ${only}` }
  const value = map[key]
  const isShort = typeof value === 'number' || (typeof value === 'string' && value.length <= 60)
  return { key: only, hint: isShort ? `write ${only}: { ${word}: ${value} }` : `it belongs below ${only}` }
}

/** A key of one of the maps around it. */
function above(key: string, { path, root }: Place): Meaning | undefined {
  for (let length = path.length - 1; length >= 0; length--) {
    if (!Object.hasOwn(keysAt(root, path.slice(0, length)) ?? {}, key)) continue
    return { hint: length === 0 ? `${key} belongs at the top level` : `${key} belongs beside ${path[length]}` }
  }
  return undefined
}
