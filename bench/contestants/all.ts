/**
 * All contestants, in the order of the tables.
 */
import { banyan, earlierBanyan } from './banyan.ts'
import type { Contestant } from './contestant.ts'
import { fastProxy } from './fast-proxy.ts'
import { fastifyHttpProxy } from './fastify-http-proxy.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy } from './http-proxy.ts'
import { httpProxy3 } from './http-proxy-3.ts'
import { httpxy } from './httpxy.ts'
import { nginx } from './nginx.ts'
import { relay } from './relay.ts'

export const CONTESTANTS: readonly Contestant[] = [
  banyan,
  earlierBanyan,
  nginx,
  haproxy,
  relay,
  fastProxy,
  fastifyHttpProxy,
  httpxy,
  httpProxy3,
  httpProxy,
]
