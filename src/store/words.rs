//! Decodes columns that hold one of a set of names.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

use crate::domain::import::{ItemState, JobOutcome, JobState};

macro_rules! read_words {
    ($($name:ident)*) => {$(
        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <str as Type<Postgres>>::type_info()
            }

            fn compatible(column: &PgTypeInfo) -> bool {
                <str as Type<Postgres>>::compatible(column)
            }
        }

        impl<'r> Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                let name = <&str as Decode<Postgres>>::decode(value)?;
                Self::parse(name).ok_or_else(|| format!("`{name}` is no {}", stringify!($name)).into())
            }
        }
    )*};
}

read_words!(ItemState JobOutcome JobState);
