/**
 * The operations on servers in the OpenAPI document.
 */
import { z } from 'zod'
import { serverBody } from '../fleet/server-body.ts'
import * as schemas from './api-schemas.ts'
import { JSON_TYPE, nothing, type Operation, written } from './openapi-operation.ts'

const ONE = '/upstreams/{name}/servers/{id}'

/** The operations. */
export const SERVER_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/upstreams/{name}/servers',
    id: 'listServers',
    summary: 'List the servers of an upstream, including leased ones',
    query: { instances: 'all: with what the other instances of the cluster see of them.' },
    answers: { 200: schemas.serversAnswer },
  },
  { method: 'get', path: ONE, id: 'getServer', summary: 'Get a server', answers: { 200: schemas.serverAnswer } },
  {
    method: 'put',
    path: ONE,
    id: 'putServer',
    summary: 'Add or replace a server in the table; with ttl, register it with a lease or renew the lease',
    body: { types: [JSON_TYPE], schema: serverBody },
    edits: true,
    answers: { 200: written(schemas.serverAnswer), 201: schemas.serverAnswer },
  },
  {
    method: 'patch',
    path: ONE,
    id: 'patchServer',
    summary: 'Change a server of the table, such as its weight',
    body: {
      types: ['application/merge-patch+json', JSON_TYPE],
      schema: z.record(z.string(), z.unknown()).describe('A JSON Merge Patch (RFC 7396) of url and weight.'),
    },
    edits: true,
    answers: { 200: written(schemas.serverAnswer) },
  },
  {
    method: 'delete',
    path: ONE,
    id: 'deleteServer',
    summary: 'Remove a server, or end its lease',
    edits: true,
    answers: { 200: written(schemas.serverRemovedAnswer) },
  },
  {
    method: 'post',
    path: `${ONE}/drain`,
    id: 'drainServer',
    summary: 'Drain a server: no new requests; requests in flight finish',
    reasoned: true,
    body: nothing,
    query: { wait: 'Respond when no requests are in flight, or after this time: 30s, at most 10m.' },
    answers: { 200: schemas.drainAnswer },
  },
  {
    method: 'post',
    path: `${ONE}/undrain`,
    id: 'undrainServer',
    summary: 'Send requests to a drained server again',
    reasoned: true,
    body: nothing,
    answers: { 200: schemas.serverAnswer },
  },
]
