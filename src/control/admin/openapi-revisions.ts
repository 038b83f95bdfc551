/**
 * The operations on revisions in the OpenAPI document.
 */
import { z } from 'zod'
import * as schemas from './api-schemas.ts'
import { nothing, type Operation, YAML_TYPE } from './openapi-operation.ts'

export const REVISION_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/revisions',
    id: 'listRevisions',
    summary: 'List the stored revisions',
    query: {
      since: 'Only those since then: a duration back from now, such as `24h`, or a time.',
      author: 'Only those of this author.',
      route: 'Only those that changed this route, and those of which that is not known.',
    },
    answers: { 200: schemas.revisionsAnswer },
  },
  {
    method: 'get',
    path: '/revisions/{number}',
    id: 'getRevision',
    summary: 'Get a revision and its changes',
    query: { against: 'Compare it with this revision instead of the one before it.' },
    answers: { 200: schemas.revisionAnswer },
  },
  {
    method: 'get',
    path: '/revisions/{number}/routes.yaml',
    id: 'getRevisionTable',
    summary: 'Get the table of a revision as YAML',
    answers: { 200: YAML_TYPE },
  },
  {
    method: 'get',
    path: '/revisions/{number}/overwritten',
    id: 'getOverwrittenFile',
    summary: 'Get the invalid file that a forced revision replaced',
    answers: { 200: 'application/octet-stream' },
  },
  {
    method: 'post',
    path: '/revisions/{number}/restore',
    id: 'restoreRevision',
    summary: 'Restore a revision',
    body: nothing,
    edits: true,
    answers: { 200: z.union([schemas.restoredAnswer, schemas.restoreDryRunAnswer]) },
  },
  {
    method: 'post',
    path: '/revisions/{number}/revert',
    id: 'revertRevision',
    summary: 'Undo what a revision changed, and nothing of later ones',
    body: nothing,
    edits: true,
    answers: { 200: z.union([schemas.revertedAnswer, schemas.revertDryRunAnswer]) },
  },
  {
    method: 'put',
    path: '/revisions/{number}/keep',
    id: 'keepRevision',
    summary: 'Mark a revision to be kept',
    body: nothing,
    answers: { 200: schemas.keptAnswer },
  },
  {
    method: 'delete',
    path: '/revisions/{number}/keep',
    id: 'unkeepRevision',
    summary: 'Take the mark of a revision away',
    answers: { 200: schemas.keptAnswer },
  },
]
