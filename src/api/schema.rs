//! How single values look in the API's description: patterns and ranges of ids, texts, scores and times.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema as AnySchema};
use utoipa::{PartialSchema, ToSchema};

use crate::entry::Reason;
use crate::model::post::{Content, Title};
use crate::model::text::Text;
use crate::model::{ID_CHARS_MAX, PostId, Score, Time, UserId, Username};

/// The alphabet of ids, without `.` and `..`: up to two dots and something else, or three dots and anything.
const ID_PATTERN: &str = r"^(\.{0,2}[A-Za-z0-9_~:@+=|-][A-Za-z0-9._~:@+=|-]*|\.{3}[A-Za-z0-9._~:@+=|-]*)$";

fn id(description: &str) -> RefOr<AnySchema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(ID_PATTERN))
        .min_length(Some(1))
        .max_length(Some(ID_CHARS_MAX));
    Schema::Object(Object::from(text)).into()
}

fn text(what: &str, rule: Text) -> RefOr<AnySchema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("{what}: {}", rule.description())))
        .pattern(Some(rule.pattern()))
        .min_length(Some(rule.chars_min()))
        .max_length(Some(rule.chars_max));
    Schema::Object(Object::from(text)).into()
}

macro_rules! schema {
    ($($name:ident => $schema:expr,)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<AnySchema> {
                    $schema
                }
            }
            impl ToSchema for $name {}
        )*
    };
}

schema! {
    PostId => id("What is rated: 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | -, neither . nor .."),
    UserId => id("Who rates: 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | -, neither . nor .."),
    Title => text("What a post is called", Title::RULE),
    Content => text("What a post says", Content::RULE),
    Username => text("A user's name", Username::RULE),
    Reason => text("Why a moderator decided so", Reason::RULE),
    Score => {
        // Listed, since to JSON Schema 5.0 is an integer, too.
        let whole = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(0..=Score::MAX));
        Schema::Object(Object::from(whole)).into()
    },
    Time => {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let text = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        Schema::Object(Object::from(text)).into()
    },
}
