/**
 * Lists by page number; the first page is 1. There are two rules. In a list of the operator, a value that is not a page
 * number means the first page, and a page past the end is empty. In a list of a customer, both mean the last page
 * (contract 3.4).
 */
import { z } from 'zod';
import { type Links, link } from './links.ts';

/** Rows. */
const PAGE_SIZE = 100;

interface Page {
  readonly number: number;
  /** Rows of the page. */
  readonly limit: number;
  /** Rows before the page. */
  readonly offset: number;
}

/** Accepts every value, a repeated parameter included: the rule of the list decides what the value means. */
export const pageParameter = z.string().optional().catch('').meta({
  type: 'integer',
  minimum: 1,
  maximum: 999_999_999,
  description: 'page number; the first is 1. Any other value is no fault',
});

/** A page of an operator's list. */
export function pageOrFirst(asked: string | undefined): Page {
  return pageAt(asked !== undefined && /^[1-9]\d{0,8}$/.test(asked) ? Number(asked) : 1);
}

/** Links of a page of an operator's list. The path without a number is its first page; it may have a query. */
export function linksOfPage(path: string, { number }: Page, total: number): Links {
  const at = (page: number) => link(`${path}${path.includes('?') ? '&' : '?'}page=${page}`);
  return {
    self: number === 1 ? link(path) : at(number),
    ...(number > 1 ? { prev: at(number - 1) } : {}),
    ...(number < lastPage(total) ? { next: at(number + 1) } : {}),
  };
}

/** A page of a customer's list (contract 3.4). */
export function pageOrLast(asked: string, total: number): Page {
  const number = /^\d{1,9}$/.test(asked) ? Number(asked) : 0;
  const last = lastPage(total);
  return pageAt(number >= 1 && number <= last ? number : last);
}

/** Links of a page of a customer's list (contract 3.4). The path without a number is the whole list. */
export function linksOfNumberedPage(path: string, { number }: Page, total: number): Links {
  const last = lastPage(total);
  return {
    self: link(`${path}?page=${number}`),
    first: link(`${path}?page=1`),
    ...(number > 1 ? { prev: link(`${path}?page=${number - 1}`) } : {}),
    ...(number < last ? { next: link(`${path}?page=${number + 1}`) } : {}),
    last: link(`${path}?page=${last}`),
  };
}

function pageAt(number: number): Page {
  return { number, limit: PAGE_SIZE, offset: (number - 1) * PAGE_SIZE };
}

/** The number of the last page; an empty list has one page. */
function lastPage(total: number): number {
  return Math.max(1, Math.ceil(total / PAGE_SIZE));
}
